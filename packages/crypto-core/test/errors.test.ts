import { expect, test } from 'vitest';
import { CryptoError, KmsError, ciphertextInvalid } from '../src/index.ts';

test('errors carry their code, their class name and a cause', () => {
  const cause = new Error('below');
  const error = new CryptoError('KEY_LENGTH', 'too short', { cause });
  expect(error).toBeInstanceOf(KmsError);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'CryptoError', code: 'KEY_LENGTH', message: 'too short', cause });
  expect(String(error)).toBe('CryptoError: too short');
});

test('failed authentication is one code, one message and no cause', () => {
  expect(ciphertextInvalid()).toMatchObject({ code: 'CIPHERTEXT_INVALID', message: ciphertextInvalid().message });
  expect(ciphertextInvalid().cause).toBeUndefined();
});

test('an unknown code does not compile', () => {
  // @ts-expect-error: not in CryptoErrorCode
  expect(new CryptoError('NO_SUCH_CODE', '').code).toBe('NO_SUCH_CODE');
});
