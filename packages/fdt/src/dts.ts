import type { DeviceTree, FdtNode } from './tree.ts';
import { decodeStrings, decodeU32 } from './values.ts';

/**
 * The tree as source that `dtc` compiles to the same bytes. Values have no types in the flattened form, so they are
 * guessed as dtc does: strings if they look like strings, cells if there are whole ones, else bytes.
 */
export function toDts(tree: DeviceTree): string {
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  const reservations = tree.reservations.map(
    ({ address, size }) => `/memreserve/ ${hex(address)} ${hex(size)};\n`,
  );
  return `/dts-v1/;\n${reservations.join('')}\n${nodeText(tree.root, '').join('\n')}\n`;
}

function nodeText(node: FdtNode, indent: string): string[] {
  const inner = `${indent}\t`;
  const properties = [...node.properties].map(([name, value]) => `${inner}${name}${valueText(value)};`);
  const children = [...node.children.values()].flatMap((child) => ['', ...nodeText(child, inner)]);
  return [`${indent}${node.name || '/'} {`, ...properties, ...children, `${indent}};`];
}

function valueText(value: Uint8Array): string {
  if (value.length === 0) return '';
  if (looksLikeStrings(value)) return ` = ${decodeStrings(value, '').map(quote).join(', ')}`;
  if (value.length % 4 === 0) {
    const cells = decodeU32(value, '').map((cell) => `0x${cell.toString(16)}`);
    return ` = <${cells.join(' ')}>`;
  }
  const bytes = Array.from(value, (byte) => byte.toString(16).padStart(2, '0'));
  return ` = [${bytes.join(' ')}]`;
}

/** Printable ASCII, each string at least one character long and ended by a NUL. */
function looksLikeStrings(value: Uint8Array): boolean {
  let previous = 0;
  for (const byte of value) {
    if (byte === 0 ? previous === 0 : byte < 0x20 || byte > 0x7e) return false;
    previous = byte;
  }
  return previous === 0;
}

const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
