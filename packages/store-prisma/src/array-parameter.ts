// One-dimensional arrays without NULLs in PostgreSQL's binary format (array_send, and the send functions of the element
// types). pg would write them as text, escaped and in hexadecimal: six times the work here, and more to parse there.

// Oids of the element types, which are fixed: https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
const BYTEA = 17;
const BIGINT = 20;
const INTEGER = 23;
const TEXT = 25;

/** A `text[]`. Well-formed text only: a lone surrogate would become U+FFFD. PostgreSQL refuses U+0000. */
export function texts(values: readonly string[]): Buffer {
  let size = 0;
  for (const value of values) size += 4 + Buffer.byteLength(value);
  const array = begin(TEXT, values.length, size);
  let at = HEADER;
  for (const value of values) {
    const length = array.write(value, at + 4);
    at = array.writeUInt32BE(length, at) + length;
  }
  return array;
}

/** A `bytea[]`. */
export function byteas(values: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const value of values) size += 4 + value.length;
  const array = begin(BYTEA, values.length, size);
  let at = HEADER;
  for (const value of values) {
    at = array.writeUInt32BE(value.length, at);
    array.set(value, at);
    at += value.length;
  }
  return array;
}

/** A `bigint[]` of safe integers. */
export function bigints(values: readonly number[]): Buffer {
  const array = begin(BIGINT, values.length, values.length * 12);
  let at = HEADER;
  for (const value of values) {
    at = array.writeUInt32BE(8, at);
    // Two halves: a BigInt would be an allocation each.
    at = array.writeInt32BE(Math.floor(value / 0x1_0000_0000), at);
    at = array.writeUInt32BE(value >>> 0, at);
  }
  return array;
}

/** An `integer[]`. */
export function integers(values: readonly number[]): Buffer {
  const array = begin(INTEGER, values.length, values.length * 8);
  let at = HEADER;
  for (const value of values) {
    at = array.writeUInt32BE(4, at);
    at = array.writeInt32BE(value, at);
  }
  return array;
}

/** Dimensions, whether there are NULLs, type of the elements, and per dimension its length and its first index. */
const HEADER = 20;

function begin(type: number, length: number, size: number): Buffer {
  // Without elements there is no dimension to describe.
  const array = Buffer.allocUnsafe(length === 0 ? HEADER - 8 : HEADER + size);
  array.writeUInt32BE(length === 0 ? 0 : 1, 0);
  array.writeUInt32BE(0, 4);
  array.writeUInt32BE(type, 8);
  if (length === 0) return array;
  array.writeUInt32BE(length, 12);
  array.writeUInt32BE(1, 16);
  return array;
}
