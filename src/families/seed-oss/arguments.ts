// Writes one call's arguments as a JSON document while its parameters arrive; the parser feeds it.
import type { ArgumentTypes, ArgumentType } from './values.ts'

const NEWLINE = '\n'

export class ArgumentsWriter {
  private types: ArgumentTypes
  private emit: (json: string) => void
  private parameters = 0
  private type: ArgumentType | undefined
  private key = ''
  /** Text of a value whose type is decided at its end. */
  private raw = ''
  /** Undefined until the value's first character; then whether it began with a newline, which goes. */
  private framed: boolean | undefined
  /** A newline that goes if the value ends here. */
  private newline = false

  constructor(types: ArgumentTypes, emit: (json: string) => void) {
    this.types = types
    this.emit = emit
  }

  private label(): string {
    const before = this.parameters === 0 ? '{' : ','
    this.parameters += 1
    return `${before}${JSON.stringify(this.key)}:`
  }

  open(key: string): void {
    this.key = key
    this.type = this.types(key)
    this.raw = ''
    this.framed = undefined
    this.newline = false
    if (this.type.streams) this.emit(`${this.label()}"`)
  }

  write(piece: string): void {
    let text = piece
    if (text === '') return
    if (this.framed === undefined) {
      this.framed = text.startsWith(NEWLINE)
      if (this.framed) text = text.slice(1)
      if (text === '') return
    }
    if (this.framed) {
      if (this.newline) text = NEWLINE + text
      this.newline = text.endsWith(NEWLINE)
      if (this.newline) text = text.slice(0, -1)
    }
    if (text !== '') this.put(text)
  }

  private put(text: string): void {
    if (this.type?.streams) this.emit(JSON.stringify(text).slice(1, -1))
    else this.raw += text
  }

  close(): void {
    if (this.type?.streams) this.emit('"')
    else if (this.type) this.emit(this.label() + this.type.convert(this.raw))
    this.type = undefined
  }

  /** Completes the document. */
  end(): void {
    if (this.type) this.close()
    this.emit(this.parameters === 0 ? '{}' : '}')
  }

  /** Shows what there is of a document that the limit cut: it stays incomplete JSON. */
  cut(): void {
    if (!this.type) return
    if (this.newline) this.put(NEWLINE)
    if (!this.type.streams) this.emit(this.label() + this.raw)
    this.type = undefined
  }
}
