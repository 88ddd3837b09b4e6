import type { CommandContext } from './commands/definition.ts';
import { ExitStatus } from './exit-status.ts';
import { helpFor } from './help.ts';
import { print } from './output.ts';

/** `tsvmm version` */
export async function printVersion(): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  print(`tsvmm ${manifest.version}\n`);
  return ExitStatus.success;
}

/** `tsvmm help` */
export async function printHelp({ line }: CommandContext): Promise<number> {
  print(helpFor(line.operands));
  return ExitStatus.success;
}
