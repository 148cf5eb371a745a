import * as Either from "effect/Either"

export type Label = "PUBLIC KEY" | "PRIVATE KEY" | "CERTIFICATE"

export interface Pem {
  readonly label: Label
  /** The text as RFC 7468 section 3 has it. */
  readonly text: string
}

const isLabel = (label: string): label is Label => ["PUBLIC KEY", "PRIVATE KEY", "CERTIFICATE"].includes(label)

const toPkcs8 = "convert it with `openssl pkcs8 -topk8 -nocrypt`"

/** What to do with blocks that hold a key in another format. */
const advice = new Map([
  ["RSA PRIVATE KEY", `the PEM is PKCS #1 (RSA PRIVATE KEY), and PKCS #8 is needed: ${toPkcs8}`],
  ["EC PRIVATE KEY", `the PEM is SEC 1 (EC PRIVATE KEY), and PKCS #8 is needed: ${toPkcs8}`],
  [
    "RSA PUBLIC KEY",
    "the PEM is PKCS #1 (RSA PUBLIC KEY), and SPKI is needed: convert it with `openssl rsa -RSAPublicKey_in -pubout`"
  ],
  ["ENCRYPTED PRIVATE KEY", "the PEM is encrypted: decrypt it with `openssl pkcs8`"],
  ["OPENSSH PRIVATE KEY", "the PEM is of OpenSSH, and PKCS #8 is needed"]
])

/** The one block of a PEM text (RFC 7468): a key as SPKI or PKCS #8, or a certificate. */
export const parse = (text: string): Either.Either<Pem, string> => {
  const labels = Array.from(text.matchAll(/-----BEGIN ([^-]*)-----/g), (match) => match[1]!)
  if (labels.length === 0) return Either.left("the PEM has no line -----BEGIN ...-----")
  if (/\bENCRYPTED\b/.test(text)) return Either.left(advice.get("ENCRYPTED PRIVATE KEY")!)
  for (const label of labels) {
    const reason = advice.get(label)
    if (reason !== undefined) return Either.left(reason)
  }
  if (labels.length > 1) return Either.left("the PEM has several blocks, and one is taken")
  const label = labels[0]!
  if (!isLabel(label)) return Either.left("the PEM is neither PUBLIC KEY, PRIVATE KEY nor CERTIFICATE")
  if (text.includes("\\n")) return Either.left("the PEM has \\n in it, as two characters, instead of line ends")
  const block = new RegExp(`^\\s*-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----\\s*$`).exec(text)
  if (block === null) return Either.left("the PEM is not one block of base64 between its lines BEGIN and END")
  const body = block[1]!.replace(/\s+/g, "")
  return Either.right({ label, text: `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----` })
}
