// `totals.mjs <report of vitest> <its exit status>` prints "passed failed".
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
let passed = 0;
let failed = 0;
try {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  passed = report.numPassedTests;
  // A file that could not be run has no tests that could fail.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.length,
  );
  failed = report.numFailedTests + broken.length;
} catch {
  // No report, which the exit status says as well.
}
// An error outside of the tests, or no run at all.
if (status !== '0' && failed === 0) failed = 1;
console.log(`${passed} ${failed}`);
