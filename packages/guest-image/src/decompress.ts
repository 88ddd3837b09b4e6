import { promisify } from 'node:util';
import { gunzip, zstdDecompress } from 'node:zlib';
import { GuestImageError } from './errors.ts';
import { run } from './process.ts';

const AR_MAGIC = '!<arch>\n';

/**
 * Decompresses a kernel module by its file name: `.ko`, `.ko.gz`, `.ko.zst` or `.ko.xz` (Debian's).
 *
 * xz is the one Node cannot do. xz-utils is not on every Debian system, but dpkg-deb is, with liblzma linked in:
 * it decompresses the data member of a package without a look at what it is, so the module is handed to it as one.
 * @throws {GuestImageError} BAD_MODULE for damaged data, NO_APT without dpkg-deb
 */
export async function decompressModule(
  fileName: string,
  data: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  try {
    if (fileName.endsWith('.ko')) return data;
    if (fileName.endsWith('.gz')) return await promisify(gunzip)(data);
    if (fileName.endsWith('.zst')) return await promisify(zstdDecompress)(data);
  } catch (cause) {
    throw damaged(fileName, String(cause), cause);
  }
  const { status, stdout, stderr } = await run('dpkg-deb', ['--fsys-tarfile', '-'], {
    input: packageAround(data),
    signal,
  });
  if (status !== 0) throw damaged(fileName, stderr.trim());
  return stdout;
}

/** deb(5): an ar archive of debian-binary, the control member and the data member. */
function packageAround(xz: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from(AR_MAGIC),
    arMember('debian-binary', Buffer.from('2.0\n')),
    arMember('control.tar', new Uint8Array()),
    arMember('data.tar.xz', xz),
  ]);
}

/** ar(5): a header of fixed-width text fields, and data padded to an even length. */
function arMember(name: string, data: Uint8Array): Uint8Array {
  const fields = [
    name.padEnd(16),
    '0'.padEnd(12), // modification time
    '0'.padEnd(6), // owner
    '0'.padEnd(6), // group
    '100644'.padEnd(8), // mode
    String(data.byteLength).padEnd(10),
    '`\n',
  ];
  return Buffer.concat([Buffer.from(fields.join('')), data, Buffer.alloc(data.byteLength % 2, '\n')]);
}

function damaged(fileName: string, reason: string, cause?: unknown): GuestImageError {
  return new GuestImageError(
    'BAD_MODULE',
    `The kernel module ${fileName} cannot be decompressed: ${reason}`,
    {
      cause,
    },
  );
}
