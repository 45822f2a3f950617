export { connect } from './connect.ts';
export type { ConnectOptions, MiniKms } from './connect.ts';
export type { Calls, CallSettings, Fields } from './calls.ts';
export { MiniKmsError } from './errors.ts';
export type { AuditPosition } from './position.ts';
export type { AuditCalls, KmsCalls } from './services.ts';
export { CiphertextEncoding } from '@minikms/protocol';
