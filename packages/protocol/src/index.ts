export * from './gen/minikms/v1/kms.ts';
