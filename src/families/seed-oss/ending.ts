// Keeps the end token of Seed-OSS and halves of characters away from the parser, which feeds all output through it.
import { cut } from './markers.ts'
import { EOS } from './tokens.ts'

const ONLY_EOS = [EOS]

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff

const isPlain = (piece: string): boolean =>
  !piece.includes('<') && !isHighSurrogate(piece.charCodeAt(piece.length - 1))

/** Drops `<seed:eos>` at the end of the output; holds back what may be one, and half a character. */
export class EndFilter {
  private tail = ''
  private ends = 0

  push(piece: string, final: boolean): string {
    if (this.tail === '' && this.ends === 0 && isPlain(piece)) return piece
    const text = this.tail + piece
    let out = ''
    for (let from = 0; ;) {
      const { at, marker } = cut(text, from, ONLY_EOS, final)
      const half =
        !final && marker === null && at > from && isHighSurrogate(text.charCodeAt(at - 1))
      const end = half ? at - 1 : at
      if (end > from) {
        out += EOS.repeat(this.ends) + text.slice(from, end)
        this.ends = 0
      }
      if (marker !== EOS) {
        this.tail = text.slice(end)
        return out
      }
      this.ends += 1
      from = at + EOS.length
    }
  }
}
