import { StructError } from './errors.ts';

/** What a snapshot must agree on with the layout it is restored to. */
export interface SnapshotIdentity {
  readonly name: string;
  readonly version: number;
  readonly size: number;
  readonly shape: string;
}

// Header, little-endian 32-bit words: magic, version, size, checksum of the shape, bytes of name; then the name
// in UTF-8, then zeros up to a multiple of 8, then the structure.
const MAGIC = 0x5453_5654; // "TVST" in memory order
const HEADER = 20;

const payloadOffset = (nameBytes: number) => Math.ceil((HEADER + nameBytes) / 8) * 8;

/** FNV-1a of 32 bits: tells definitions apart whose author forgot to raise the version. */
function checksum(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}

export function writeSnapshot(identity: SnapshotIdentity, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(identity.name);
  const payload = payloadOffset(name.length);
  const snapshot = new Uint8Array(payload + bytes.length);
  const header = new DataView(snapshot.buffer);
  const words = [MAGIC, identity.version, bytes.length, checksum(identity.shape), name.length];
  for (const [index, word] of words.entries()) header.setUint32(index * 4, word, true);
  snapshot.set(name, HEADER);
  snapshot.set(bytes, payload);
  return snapshot;
}

/** The structure's bytes in `snapshot`, once it is certain that they are what `identity` describes. */
export function readSnapshot(identity: SnapshotIdentity, snapshot: Uint8Array): Uint8Array {
  const refuse = (code: 'BAD_SNAPSHOT' | 'WRONG_NAME' | 'WRONG_VERSION' | 'WRONG_LAYOUT', what: string) =>
    new StructError(code, `Cannot restore ${identity.name}: ${what}`);

  if (snapshot.length < HEADER) throw refuse('BAD_SNAPSHOT', `${snapshot.length} bytes are no snapshot.`);
  const header = new DataView(snapshot.buffer, snapshot.byteOffset, snapshot.length);
  const word = (index: number) => header.getUint32(index * 4, true);
  if (word(0) !== MAGIC) throw refuse('BAD_SNAPSHOT', 'the bytes do not start like a snapshot.');
  const [version, size, shape, nameBytes] = [word(1), word(2), word(3), word(4)];
  const payload = payloadOffset(nameBytes);
  if (snapshot.length !== payload + size) {
    throw refuse('BAD_SNAPSHOT', `it has ${snapshot.length} bytes where its header says ${payload + size}.`);
  }
  // A copy: TextDecoder does not take bytes of a SharedArrayBuffer.
  const name = new TextDecoder().decode(new Uint8Array(snapshot.subarray(HEADER, HEADER + nameBytes)));
  if (name !== identity.name) throw refuse('WRONG_NAME', `the snapshot is of ${JSON.stringify(name)}.`);
  if (version !== identity.version) {
    throw refuse(
      'WRONG_VERSION',
      `the snapshot is of version ${version}, this is version ${identity.version}.`,
    );
  }
  if (size !== identity.size || shape !== checksum(identity.shape)) {
    throw refuse('WRONG_LAYOUT', 'its fields differ although the version is the same: raise the version.');
  }
  return snapshot.subarray(payload);
}
