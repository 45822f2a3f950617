export { AeadKey, aeadOpen, aeadOpenBlob, aeadSeal, aeadSealBlob } from './aead.ts';
export { concat, domainSeparated, equal, lp, uint32, uint64, utf8 } from './bytes.ts';
export { CryptoError, KmsError, ciphertextInvalid, type CryptoErrorCode } from './errors.ts';
export { hkdf, hkdfExpand, hkdfExtract } from './kdf.ts';
export { fillNonce, randomNonce } from './nonce.ts';
export { SEALED_OVERHEAD, SEALED_VERSION, SealingKey, parseSealed, type SealedHeader } from './sealed.ts';
export { SecretBytes } from './secret.ts';
export { combine, split } from './shamir.ts';
export { fromHex, toHex, uuidFromBytes, uuidToBytes } from './text.ts';
