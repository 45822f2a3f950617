/**
 * GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (0x11B, the field of FIPS 197 §4). Branch-free and table-free: neither the
 * time nor the memory touched depends on the operands. Operands are integers in 0..255; addition is XOR.
 */

/** a · b. */
export function gfMul(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) {
    // -(0 | 1) is a mask of no bits or of all of them.
    product ^= a & -(b & 1);
    // FIPS 197 §4.2.1: times x, less the polynomial where x^8 appears.
    a = (a << 1) ^ (0x11b & -(a >> 7));
    b >>= 1;
  }
  return product;
}

/** 1 / a as a^254, since a^255 = 1 for every a but 0; 0 gives 0. */
export function gfInv(a: number): number {
  const a2 = gfMul(a, a);
  const a3 = gfMul(a2, a);
  const a12 = gfSquare(gfSquare(a3));
  const a15 = gfMul(a12, a3);
  const a240 = gfSquare(gfSquare(gfSquare(gfSquare(a15))));
  return gfMul(gfMul(a240, a12), a2);
}

function gfSquare(a: number): number {
  return gfMul(a, a);
}
