/** spec/audit-chain.md §2: how long a text may be, in bytes of UTF-8. */
export const MAX_BYTES = { action: 128, actorId: 256, details: 16_384, tenantId: 128 } as const;

/**
 * spec/audit-chain.md §6: the longest line of an export, without its end. The longest entry fits: a control character
 * takes six bytes in JSON.
 */
export const MAX_LINE = 131_072;

export const HASH_LENGTH = 32;

export const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
export const MAX_INT64 = 0x7fff_ffff_ffff_ffffn;
