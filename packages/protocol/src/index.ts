export * from './gen/minikms/v1/audit.ts';
export * from './gen/minikms/v1/kms.ts';
