// The bare echo, a process of its own: the same messages over the same grpc-js, decoded and encoded by the same
// generated code, answered with as many bytes. What the real server costs beyond this is what it does.
import { Server, ServerCredentials, type handleUnaryCall, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { CiphertextEncoding, KMSServiceService } from '@minikms/protocol';
import type { BatchEncryptRequest, BatchEncryptResponse, EncryptRequest, EncryptResponse } from '@minikms/protocol';
import { answer } from './requests.ts';

const RAW = CiphertextEncoding.CIPHERTEXT_ENCODING_RAW;

const encrypt: handleUnaryCall<EncryptRequest, EncryptResponse> = ({ request }, callback) => {
  callback(null, answer(request.plaintext.length, request.ciphertextEncoding === RAW));
};

const batchEncrypt: handleUnaryCall<BatchEncryptRequest, BatchEncryptResponse> = ({ request }, callback) => {
  const raw = request.ciphertextEncoding === RAW;
  callback(null, { items: request.items.map((item) => answer(item.plaintext.length, raw)) });
};

const server = new Server();
const handlers: UntypedServiceImplementation = { encrypt, batchEncrypt };
server.addService(KMSServiceService, handlers);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.({ port });
});
// The end of the process that started this one.
process.once('disconnect', () => process.exit(0));
// A terminal's Ctrl-C reaches this process too; its parent decides when it ends.
process.on('SIGINT', () => undefined);
