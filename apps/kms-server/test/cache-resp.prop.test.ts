import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encode, MAX_VALUE_BYTES, parse, ProtocolError } from '../src/redis/resp.ts';

test('random bytes, and bytes that look like replies, are parsed, incomplete or refused', () => {
  const alphabet = fc.constantFrom(
    ...'+-:$*>%~|(,#_!=0123456789\r\n'.split(''),
    '\r\n',
    '$1\r\nx\r\n',
    '*3\r\n',
    ':1\r\n',
    '\0ÿ',
  );
  const texts = fc.array(alphabet, { maxLength: 60 }).map((parts) => Buffer.from(parts.join(''), 'latin1'));
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
    texts,
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      try {
        const found = parse(bytes, 0);
        if (found !== undefined) expect(found.end).toBeGreaterThan(0);
        if (found !== undefined) expect(found.end).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
    { numRuns: 5000 },
  );
});

test('a value is read whole or not at all, wherever it is cut', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: MAX_VALUE_BYTES }), fc.nat(MAX_VALUE_BYTES + 20), (value, cut) => {
      const whole = encode([value]).subarray('*1\r\n'.length);
      expect(parse(whole, 0)).toEqual({ reply: Buffer.from(value), end: whole.length });
      if (cut < whole.length) expect(parse(whole.subarray(0, cut), 0)).toBeUndefined();
    }),
  );
});

test('nothing that is not there yet is waited for beyond 5 KiB', () => {
  for (const start of ['$4096\r\n', '+', '-', ':', '*3\r\n$256\r\n', '*3\r\n$1\r\nx\r\n$256\r\n', '$'])
    expect(() => parse(Buffer.concat([Buffer.from(start), Buffer.alloc(5000, '1')]), 0), start).toThrow(ProtocolError);
});
