import { Client, credentials } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

/** What grpc.health.v1 answers for a service, or for the whole server. */
export async function health(port: number, name = ''): Promise<string> {
  const check = service['Check'];
  if (check === undefined) throw new Error('no Check');
  const { path, requestSerialize, responseDeserialize } = check;
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: name }, (error, value) =>
        error === null ? resolve((value as { status: string }).status) : reject(error),
      );
    });
  } finally {
    client.close();
  }
}
