// Makes an entry in the audit log of a tenant, and checks what the server says of it: its receipt, and the whole log.
//
//   npm start                in one terminal
//   npm run example:audit    in another
import { parseVerifierKey, verifyExport, verifyReceipt } from '@minikms/audit-chain';
import { type AuditPosition, connect, MiniKmsError } from '@minikms/client';

const address = process.env['MINIKMS_ADDR'] ?? '127.0.0.1:50051';
const minikms = connect({ address });
const scope = { tenantId: 'acme', scopeId: 'billing' };

try {
  await minikms.ready(5000);

  const audited: AuditPosition[] = [];
  const onAudited = (position: AuditPosition): void => void audited.push(position);
  await minikms.kms.encrypt({ ...scope, plaintext: Buffer.from('card ending 4242') }, { onAudited });
  const [position] = audited;
  if (position === undefined) throw new Error('the server did not say where the entry is');
  const { orgId, seq } = position;
  console.log(`entry ${seq} of the log of ${orgId}`);

  // An auditor gets the key from the operator, not from the server that he checks.
  const { checkpoint, verifierKey } = await minikms.audit.getCheckpoint({ orgId });
  const keys = [parseVerifierKey(verifierKey)];

  const { receipt } = await minikms.audit.getReceipt({ orgId, seq });
  const { entry } = verifyReceipt(receipt, keys);
  console.log(`its receipt proves: ${entry.action} by ${entry.actorId}, ${entry.details}`);

  // To a file, it would be what the auditor's command reads.
  const report = await verifyExport(minikms.audit.exportLog({ orgId }), { keys, checkpoints: [checkpoint] });
  console.log(`the whole log: ${report.verdict}, ${report.covered} of ${report.entries} entries signed for`);
  if (report.verdict !== 'good') process.exitCode = 1;
} catch (error) {
  if (!(error instanceof MiniKmsError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  if (error.code === 'UNAVAILABLE') console.error('Is the server running? Start it with: npm start');
  process.exitCode = 1;
} finally {
  minikms.close();
}
