import { parseArgs } from 'node:util';
import { parseCheckpoint } from '../checkpoint.ts';
import { parseWitnessKey, type WitnessKey } from '../cosignature.ts';
import { AuditError } from '../errors.ts';
import { parseNote, parseVerifierKey, type VerifierKey } from '../note.ts';
import { type Terminal, Refusal, readText } from './terminal.ts';
import { prove } from './prove.ts';
import { checkReceipt } from './receipt.ts';
import { show } from './show.ts';
import { verifyGo } from './v1.ts';
import { verify } from './verify.ts';

export const USAGE = `audit-chain: checks the audit log of a miniKMS tenant, without a server.

  audit-chain verify EXPORT [--key KEY]... [--checkpoint FILE]... [--witness KEY]... [--quorum N]
      Is every entry whole, in its place, and the one that the log signed for?
  audit-chain prove EXPORT --seq N [--key KEY]... [--checkpoint FILE]...
      Writes a receipt: the proof that entry N is in the log.
  audit-chain verify-receipt RECEIPT --key KEY... [--witness KEY]... [--quorum N]
      Does a receipt prove what it says?
  audit-chain show EXPORT [--seq N]
      Writes the entries for people to read. Checks nothing but their form.
  audit-chain v1 ROWS
      Are the rows of a log of the Go service whole, as far as such a log can show it?

EXPORT, RECEIPT and ROWS are files, or - for standard input.
  --key KEY          a public key of the log, written name+hash+base64
  --checkpoint FILE  a checkpoint that you kept from earlier, or got from someone else
  --seq N            the number of an entry
  --witness KEY      a public key of a witness, written name+hash+base64
  --quorum N         of these witnesses, so many have to have cosigned; all when it is left out

Exit codes: 0 good; 1 the log or the receipt is bad, or too few witnesses cosigned; 2 the command is wrong or a file
cannot be read; 3 nothing is wrong, but there was no key or no checkpoint to compare with, as for every log of the
Go service.
`;

/** What the command line says, read. */
export interface Request {
  readonly file: string;
  readonly keys: readonly VerifierKey[];
  readonly checkpoints: readonly string[];
  readonly seq: number | undefined;
  readonly witnesses: readonly WitnessKey[];
  /** At most the number of witnesses. */
  readonly quorum: number;
}

const COMMANDS: Readonly<Record<string, (request: Request, terminal: Terminal) => Promise<number>>> = {
  verify,
  prove,
  'verify-receipt': checkReceipt,
  show,
  v1: verifyGo,
};

/** Runs a command line; its exit code. */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const { values, positionals } = parse(args);
    if (values.help === true || args.length === 0) {
      (values.help === true ? terminal.stdout : terminal.stderr).write(USAGE);
      return values.help === true ? 0 : 2;
    }
    const [name = '', file, ...more] = positionals;
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new Refusal(`there is no command ${JSON.stringify(name)}; see audit-chain --help`);
    if (file === undefined || more.length > 0) throw new Refusal(`${name} takes one file, or - for standard input`);
    const checkpoints = await Promise.all((values.checkpoint ?? []).map(checkpointOf));
    const keys = (values.key ?? []).map((text) => keyOf('--key', text, parseVerifierKey));
    const witnesses = (values.witness ?? []).map((text) => keyOf('--witness', text, parseWitnessKey));
    const quorum = quorumOf(values.quorum, witnesses.length);
    return await command({ file, keys, checkpoints, seq: seqOf(values.seq), witnesses, quorum }, terminal);
  } catch (error) {
    terminal.stderr.write(`audit-chain: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

// Its type is that of the options, which nobody should write twice.
// oxlint-disable-next-line typescript/explicit-function-return-type, typescript/explicit-module-boundary-types
function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      key: { type: 'string', multiple: true },
      checkpoint: { type: 'string', multiple: true },
      seq: { type: 'string' },
      witness: { type: 'string', multiple: true },
      quorum: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
}

function keyOf<Key>(option: string, text: string, parseKey: (text: string) => Key): Key {
  try {
    return parseKey(text.trim());
  } catch (error) {
    throw new Refusal(`${option}: ${(error as Error).message}`);
  }
}

function quorumOf(text: string | undefined, witnesses: number): number {
  if (text === undefined) return witnesses;
  if (!/^[1-9][0-9]{0,3}$/.test(text) || Number(text) > witnesses) {
    throw new Refusal('--quorum takes a number from 1 to that of the witnesses');
  }
  return Number(text);
}

async function checkpointOf(path: string): Promise<string> {
  const note = await readText(path);
  try {
    parseCheckpoint(parseNote(note).text);
    return note;
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    throw new Refusal(`--checkpoint: ${path} is not a checkpoint (${error.message})`);
  }
}

function seqOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new Refusal('--seq takes the number of an entry, from 1');
  return Number(text);
}
