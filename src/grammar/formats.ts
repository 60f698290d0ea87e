// What strings of JSON schema's formats look like, as regular expressions, and patterns as JavaScript means them.
import { z } from 'zod'

const YEAR = '[0-9]{4}'
const LEAP = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)'
const DAY = '(0[1-9]|[12][0-9]'
const DATE =
  `(${YEAR}-(0[13578]|1[02])-${DAY}|3[01])|${YEAR}-(0[469]|11)-${DAY}|30)|` +
  `${YEAR}-02-(0[1-9]|1[0-9]|2[0-8])|${LEAP}-02-29)`
const HOUR = '([01][0-9]|2[0-3])'
const TIME = `${HOUR}:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]${HOUR}:[0-5][0-9])`
const LABEL = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const MAILBOX = '[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,16}){0,3}'
const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const H = '[0-9A-Fa-f]{1,4}'
const IPV6 = [
  `(${H}:){7}${H}`,
  `(${H}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((n) => `(${H}:){1,${7 - n}}(:${H}){1,${n}}`),
  `:((:${H}){1,7}|:)`,
].join('|')
const NUMBER = '[0-9]{1,6}'
const DAYS = `(${NUMBER}Y(${NUMBER}M(${NUMBER}D)?)?|${NUMBER}M(${NUMBER}D)?|${NUMBER}D)`
const HOURS = `T(${NUMBER}H(${NUMBER}M(${NUMBER}S)?)?|${NUMBER}M(${NUMBER}S)?|${NUMBER}S)`
const PCHAR = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

/** RFC 3339, 5321, 1123, 4291, 4122, 3986, as far as they are regular; what is left out of one is rare. */
export const FORMATS: { readonly [format: string]: string } = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  duration: `P(${NUMBER}W|${DAYS}(${HOURS})?|${HOURS})`,
  email: `${MAILBOX}@(${LABEL}\\.){1,3}[A-Za-z]{2,24}`,
  hostname: `${LABEL}(\\.${LABEL}){0,2}`,
  ipv4: `(${OCTET}\\.){3}${OCTET}`,
  ipv6: `(${IPV6})`,
  uuid: '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[1-8][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}',
  uri:
    `[A-Za-z][A-Za-z0-9+.-]{0,15}://${LABEL}(\\.${LABEL}){0,4}(:[0-9]{1,5})?` +
    `(/${PCHAR}*)*(\\?(${PCHAR}|[/?])*)?(#(${PCHAR}|[/?])*)?`,
}

/** The pattern that zod writes beside each format: a text of ours meets it, though some of them look around. */
const OF_ZOD: { readonly [format: string]: unknown } = Object.fromEntries(
  Object.values({
    email: z.email(),
    uuid: z.uuid(),
    ipv4: z.ipv4(),
    ipv6: z.ipv6(),
    cidrv4: z.cidrv4(),
    cidrv6: z.cidrv6(),
    e164: z.e164(),
    base64: z.base64(),
    base64url: z.base64url(),
    date: z.iso.date(),
    duration: z.iso.duration(),
    nanoid: z.nanoid(),
    cuid2: z.cuid2(),
    ulid: z.ulid(),
    xid: z.xid(),
    ksuid: z.ksuid(),
  }).map((type) => {
    const { format, pattern } = z.toJSONSchema(type)
    return [format, pattern]
  })
)

/** What zod wrote for addresses before it did without looking ahead. */
const OLD_EMAIL =
  "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"

/** Whether a pattern is zod's own for this format, and so says the same. */
export const isOfZod = (format: string, pattern: unknown): boolean =>
  typeof pattern === 'string' &&
  (OF_ZOD[format] === pattern || (format === 'email' && pattern === OLD_EMAIL))

/** Classes that hold all of Unicode in the engine's regular expressions, and ASCII in JavaScript's. */
const ASCII: { readonly [escape: string]: [outside: string, inside: string] } = {
  '\\d': ['[0-9]', '0-9'],
  '\\D': ['[^0-9]', '[^0-9]'],
  '\\w': ['[A-Za-z0-9_]', 'A-Za-z0-9_'],
  '\\W': ['[^A-Za-z0-9_]', '[^A-Za-z0-9_]'],
}

/** A pattern as ECMA-262 means it, which JSON schema goes by. */
export const fromJavaScript = (pattern: string): string => {
  let inClass = false
  return pattern.replace(/\\[\s\S]|[[\].]/g, (found) => {
    if (found === '[' && !inClass) {
      inClass = true
      return found
    }
    if (found === '[') return '\\['
    if (found === ']') {
      inClass = false
      return found
    }
    if (found === '.') return inClass ? found : '[^\\n\\r\\x{2028}\\x{2029}]'
    return ASCII[found]?.[inClass ? 1 : 0] ?? found
  })
}
