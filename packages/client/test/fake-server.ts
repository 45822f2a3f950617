import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from '@grpc/grpc-js';
import { EncryptRequest, EncryptResponse, KMSServiceService } from '@minikms/protocol';

type EncryptCall = ServerUnaryCall<EncryptRequest, EncryptResponse>;

export interface FakeServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** The Encrypt calls that arrived. */
  readonly calls: readonly EncryptCall[];
  stop(): void;
}

/** A KMSService on a free loopback port that answers Encrypt as it is told, and nothing else. */
export async function fakeServer(
  encrypt: (call: EncryptCall, callback: sendUnaryData<EncryptResponse>) => void = echo,
  host = '127.0.0.1',
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<FakeServer> {
  const server = new Server();
  const arrived: EncryptCall[] = [];
  server.addService(
    { encrypt: KMSServiceService.encrypt },
    {
      encrypt: (call: EncryptCall, callback: sendUnaryData<EncryptResponse>) => {
        arrived.push(call);
        encrypt(call, callback);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:0`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return { address: `${host}:${port}`, calls: arrived, stop: () => server.forceShutdown() };
}

/** The plaintext as its own ciphertext. */
export function echo(call: EncryptCall, callback: sendUnaryData<EncryptResponse>): void {
  callback(null, EncryptResponse.fromPartial({ ciphertext: call.request.plaintext, keyVersionId: 'v1' }));
}

/** Never answers. */
export function silence(): void {}
