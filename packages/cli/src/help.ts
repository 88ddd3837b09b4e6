import type { CommandDefinition } from './commands/definition.ts';
import { COMMANDS } from './commands/table.ts';
import { UsageError } from './errors.ts';
import { EXIT_STATUS_TABLE } from './exit-status.ts';
import { nearestName } from './nearest.ts';
import { GROUPS, type OptionDefinition, usageOf } from './options/definition.ts';
import { GLOBAL_OPTIONS } from './options/global.ts';
import { ESCAPE_HELP } from './run/escape.ts';

/** Width of every line of the help, in columns. */
export const HELP_COLUMNS = 80;
const TEXT_COLUMN = 28;

/**
 * The help for a command or topic, or the overview if there is none.
 *
 * @throws {UsageError} if there is no such topic
 */
export function helpFor(topic: readonly string[]): string {
  const name = topic.join(' ');
  if (name === '') return overview();
  const text = TOPICS[name];
  if (text !== undefined) return text();
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command?.availability.kind === 'not-built') {
    return page([wrap(`${name} is not built yet. ${command.availability.instead}`, 0)]);
  }
  if (command !== undefined) return commandHelp(command);
  const family = COMMANDS.filter((candidate) => candidate.name.startsWith(`${name} `));
  if (family.length > 0) return familyHelp(name, family);
  const nearest = nearestName(name, [...COMMANDS.map((candidate) => candidate.name), ...Object.keys(TOPICS)]);
  const advice =
    nearest === undefined ? 'tsvmm --help lists the commands' : `did you mean tsvmm help ${nearest}?`;
  throw new UsageError('UNEXPECTED_ARGUMENT', `there is no help about ${JSON.stringify(name)}; ${advice}`);
}

/** Help for the command's own page. */
export function commandHelp(command: CommandDefinition): string {
  const options = [...command.options, ...GLOBAL_OPTIONS];
  const usage = ['Usage: tsvmm', command.name, '[OPTIONS]', command.operands].filter((part) => part !== '');
  const blocks = [usage.join(' '), ...command.description.map((text) => wrap(text, 0))];
  if (command.examples.length > 0)
    blocks.push(['Examples', ...command.examples.map((line) => `  ${line}`)].join('\n'));
  blocks.push(...optionBlocks(options));
  const unbuilt = command.options.filter(({ availability }) => availability.kind === 'not-built');
  if (unbuilt.length > 0) {
    blocks.push(
      ['Keys on a terminal', ...ESCAPE_HELP.map((line) => `  ${line}`)].join('\n'),
      wrap(
        `crosvm has ${unbuilt.length} more options, which are not built yet: tsvmm help not-built lists them. tsvmm help values tells how structured values are written, tsvmm help exit-status what the exit statuses mean.`,
        0,
      ),
    );
  }
  return page(blocks);
}

function overview(): string {
  const commands = COMMANDS.filter(({ availability }) => availability.kind === 'built');
  return page([
    'Usage: tsvmm [OPTIONS] COMMAND',
    wrap(
      'Runs unmodified Linux guests in a virtual machine, on software CPUs where there is nothing better.',
      0,
    ),
    ['Commands', ...commands.map(({ name, summary }) => row(`  ${name}`, summary))].join('\n'),
    ['Options before or after the command', ...GLOBAL_OPTIONS.map(optionRow)].join('\n'),
    [
      'Examples',
      '  tsvmm run                      boot a small Debian on this terminal',
      '  tsvmm run --help               list the options of run',
    ].join('\n'),
    wrap(
      'More: tsvmm help values (how structured values are written), tsvmm help exit-status, tsvmm help not-built (what crosvm has and this version does not).',
      0,
    ),
  ]);
}

function familyHelp(name: string, family: readonly CommandDefinition[]): string {
  return page([
    `Usage: tsvmm ${name} COMMAND [OPTIONS]`,
    ['Commands', ...family.map((command) => row(`  ${command.name}`, command.summary))].join('\n'),
    `tsvmm ${name} COMMAND --help tells more about one of them.`,
  ]);
}

const TOPICS: Readonly<Record<string, () => string>> = {
  'exit-status': () =>
    page([
      'Exit status',
      EXIT_STATUS_TABLE.map(({ status, meaning, extended }) =>
        row(`  ${status}`, extended ? `${meaning} (*)` : meaning, 12),
      ).join('\n'),
      wrap('(*) 0 unless --extended-status is given.', 0),
    ]),
  values: () =>
    page([
      'How values are written',
      wrap(
        'Many options take fields separated by commas: key=value. The name of the first field may be left out, so that --block disk.img,ro is --block path=disk.img,ro=true.',
        0,
      ),
      [
        row('  true or false', 'true, false, or the key alone for true: ro'),
        row('  numbers', '512, 0x200, 0o1000, 0b1000000000, and -1 where it makes sense'),
        row(
          '  text',
          'as it is, up to the next comma or bracket; with commas, brackets or quotes in it, put "…" around it (\\" and \\\\ stand for " and \\) or \'…\' (nothing has a special meaning in it)',
        ),
        row('  lists', '[1,2,3]'),
        row('  kinds with fields', 'kvm[device=/dev/kvm]'),
      ].join('\n'),
      wrap('The shell takes quotes away, so put quotes of its own around them:', 0),
      `  tsvmm run --block 'path="a,b.img",ro' Image`,
    ]),
  'not-built': () => {
    const run = COMMANDS.find(({ name }) => name === 'run');
    const blocks = [
      wrap(
        'Options and commands of crosvm that this version knows and does not have, with what to do instead.',
        0,
      ),
    ];
    for (const group of GROUPS) {
      const byAdvice = new Map<string, string[]>();
      for (const option of run?.options ?? []) {
        if (option.group !== group || option.availability.kind !== 'not-built') continue;
        const names = byAdvice.get(option.availability.instead) ?? [];
        names.push(`--${option.name}`);
        byAdvice.set(option.availability.instead, names);
      }
      if (byAdvice.size === 0) continue;
      const lines = [...byAdvice].map(
        ([advice, names]) => `${wrap(names.join(', '), 2)}\n${wrap(advice, 6)}`,
      );
      blocks.push([group, ...lines].join('\n'));
    }
    const commands = COMMANDS.flatMap(({ name, availability }) =>
      availability.kind === 'not-built' ? [row(`  ${name}`, availability.instead, 20)] : [],
    );
    blocks.push(['Commands', ...commands].join('\n'));
    return page(blocks);
  },
};

function isListed(option: OptionDefinition): boolean {
  return option.availability.kind !== 'not-built';
}

function optionBlocks(options: readonly OptionDefinition[]): readonly string[] {
  return GROUPS.flatMap((group) => {
    const listed = options.filter((option) => option.group === group && isListed(option));
    return listed.length === 0 ? [] : [[group, ...listed.map(optionRow)].join('\n')];
  });
}

function optionRow(option: OptionDefinition): string {
  const { availability } = option;
  const note = availability.kind === 'deprecated' ? ` (old; write ${availability.use})` : '';
  const again = option.repeatable === true && note === '' ? ' (repeatable)' : '';
  const lines = [row(`  ${usageOf(option)}`, option.help + again + note)];
  if (note === '' && (option.keys?.length ?? 0) > 1) {
    for (const { name, value, help, availability } of option.keys ?? []) {
      if (availability.kind !== 'built') continue;
      if (option.value?.includes(`[${name}=]`) && help.startsWith('the number')) continue;
      lines.push(row(`        ${value === undefined ? name : `${name}=${value}`}`, help));
    }
  }
  if (option.example !== undefined) lines.push(wrap(`Example: ${option.example}`, TEXT_COLUMN));
  return lines.join('\n');
}

/** A name and its text beside it, or below it if the name is too long. */
function row(name: string, text: string, column = TEXT_COLUMN): string {
  const body = wrap(text, column);
  return name.length + 2 > column ? `${name}\n${body}` : name.padEnd(column) + body.slice(column);
}

/** Breaks text at spaces into lines of at most `HELP_COLUMNS`, all indented alike. */
export function wrap(text: string, indent: number): string {
  const margin = ' '.repeat(indent);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > HELP_COLUMNS) {
      lines.push(margin + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(margin + line);
  return lines.join('\n');
}

function page(blocks: readonly string[]): string {
  return `${blocks.join('\n\n')}\n`;
}
