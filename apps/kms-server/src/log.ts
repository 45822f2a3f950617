import { pino, type DestinationStream, type Logger, type LoggerOptions } from 'pino';

/** Structured logs on standard output, one JSON object a line. What could hold a secret is cut out, should it get in. */
export function openLog(level: string, sink?: DestinationStream): Logger {
  // A reader that does not keep up costs log lines, not calls.
  const destination = sink ?? pino.destination({ dest: 1, sync: false, maxLength: 16 * 1024 * 1024 });
  const options: LoggerOptions = {
    level,
    base: { service: 'minikms' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        'authorization',
        'token',
        'plaintext',
        'ciphertext',
        'key',
        'rootKey',
        'password',
        'url',
        '*.authorization',
        '*.token',
        '*.plaintext',
        '*.ciphertext',
        '*.key',
        '*.rootKey',
        '*.password',
        '*.url',
      ],
      censor: '[redacted]',
    },
  };
  return pino(options, destination);
}
