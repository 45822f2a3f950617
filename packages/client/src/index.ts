export { connect } from './connect.ts';
export type { ConnectOptions, MiniKms } from './connect.ts';
export type { Calls, CallSettings } from './calls.ts';
export { MiniKmsError } from './errors.ts';
export { CiphertextEncoding } from '@minikms/protocol';
