import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry, Ext2Error, readTar } from '../src/index.ts';
import { sealHeaders } from './support/tar.ts';
import { complaints, debugfs, extract, Folder, makeImage, python, run } from './support/tools.ts';

/** Chunks of odd lengths, as a pipe gives them. */
async function* pieces(bytes: Uint8Array, length = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** All entries, with the contents of files. */
async function readAll(source: AsyncIterable<Uint8Array>): Promise<(Entry & { readonly text?: string })[]> {
  const entries = [];
  for await (const entry of readTar(source)) {
    if (entry.type !== 'file') entries.push(entry);
    else {
      const chunks: Buffer[] = [];
      for await (const { bytes } of entry.content()) chunks.push(Buffer.from(bytes));
      entries.push({ ...entry, text: Buffer.concat(chunks).toString('latin1') });
    }
  }
  return entries;
}

/** An archive that Python makes of what `program` adds to `t`. */
function pythonTar(program: string): Buffer {
  const text = python(`
import tarfile, io, sys, base64
out = io.BytesIO()
def add(t, name, type=tarfile.REGTYPE, data=b'', **more):
    i = tarfile.TarInfo(name); i.type = type; i.size = len(data)
    for key in more: setattr(i, key, more[key])
    t.addfile(i, io.BytesIO(data))
${program}
print(base64.b64encode(out.getvalue()).decode())`);
  return Buffer.from(text, 'base64');
}

const FORMATS = ['v7', 'oldgnu', 'gnu', 'ustar', 'pax'] as const;

describe.each(FORMATS)('GNU tar --format=%s', (format) => {
  test('what it archives and the image of the archive are alike', async () => {
    using folder = new Folder();
    const root = folder.file('root');
    const hasLongNames = !['v7', 'ustar'].includes(format);
    mkdirSync(`${root}/sub/directory`, { recursive: true });
    mkdirSync(folder.file('out'));
    python(
      `
import os, sys
root, long = sys.argv[1], sys.argv[2] == 'true'
for i in range(100): open(f'{root}/sub/{i}', 'w').write('line\\n' * i * 37)
os.link(f'{root}/sub/7', f'{root}/hard')
os.symlink('sub/directory', f'{root}/soft')
if long:
    open(f'{root}/' + 'n' * 200, 'w').write('long')
    os.symlink('t' * 300, f'{root}/far')
with open(f'{root}/sparse', 'wb') as f:
    for i in range(40): f.seek(i * 100_000); f.write(b'piece %d' % i)
    f.truncate(5_000_000)
`,
      root,
      String(hasLongNames),
    );
    const sparse = hasLongNames ? ['--sparse'] : [];
    run('tar', [
      `--format=${format}`,
      ...sparse,
      '--numeric-owner',
      '-C',
      root,
      '-cf',
      folder.file('tar'),
      '.',
    ]);
    for (const [name, wrap] of [
      ['plain', (bytes: Buffer) => bytes],
      [
        'gzip',
        (bytes: Buffer) =>
          Buffer.concat([gzipSync(bytes.subarray(0, 70_000)), gzipSync(bytes.subarray(70_000))]),
      ],
      ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ] as const) {
      const archive = folder.file(name);
      writeFileSync(archive, wrap(readFileSync(folder.file('tar'))));
      await makeImage(folder.file('image'), () => readTar(createReadStream(archive)));
      expect(complaints(folder.file('image'))).toBe('');
    }
    extract(folder.file('image'), folder.file('out'));
    run('rmdir', [folder.file('out/lost+found')]);
    run('diff', ['--recursive', '--no-dereference', root, folder.file('out')]);
    expect(debugfs(folder.file('image'), 'stat hard')).toMatch(/Links: 2 /);
  });
});

test.each(['0.0', '0.1', '1.0'])('sparse files of pax, version %s', async (version) => {
  using folder = new Folder();
  python(
    `
import sys
with open(sys.argv[1], 'wb') as f:
    for i in range(300): f.seek(i * 100_000); f.write(b'piece %d' % i)
`,
    folder.file('sparse'),
  );
  run('tar', [
    '--format=pax',
    '--sparse',
    `--sparse-version=${version}`,
    '-C',
    folder.path,
    '-cf',
    folder.file('tar'),
    'sparse',
  ]);
  const [entry] = await readAll(pieces(readFileSync(folder.file('tar'))));
  expect(entry).toMatchObject({ size: 299 * 100_000 + 9 });
  await makeImage(folder.file('image'), () => readTar(createReadStream(folder.file('tar'))));
  expect(complaints(folder.file('image'))).toBe('');
  debugfs(folder.file('image'), `dump sparse ${folder.file('copy')}`);
  run('cmp', [folder.file('sparse'), folder.file('copy')]);
});

test('devices, numbers beyond octal, times, attributes', async () => {
  const archive = pythonTar(`
t = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT, encoding='utf-8')
add(t, 'dev/null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
add(t, 'dev/sda', tarfile.BLKTYPE, devmajor=8, devminor=0)
add(t, 'fifo', tarfile.FIFOTYPE, uid=3000000000, gid=4000000)
add(t, 'old', mtime=-1.25)
add(t, 'attributes', pax_headers={'SCHILY.xattr.user.one': 'a=b', 'LIBARCHIVE.xattr.user.%74wo': 'AAE=',
  'SCHILY.acl.access': 'user::rw-,user:lisa:rwx:1000,group::r--,mask::rwx,other::r--', 'RHT.security.selinux': 'u:r:t'})
t.close()`);
  const entries = await readAll(pieces(archive));
  expect(entries).toMatchObject([
    { path: Buffer.from('dev/null'), type: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 },
    { type: 'block-device', device: { major: 8, minor: 0 } },
    { type: 'fifo', uid: 3_000_000_000, gid: 4_000_000 },
    { mtime: { seconds: -2, nanoseconds: 750_000_000 } },
    { type: 'file' },
  ]);
  const last = entries[4];
  const xattrs = last && 'xattrs' in last ? last.xattrs : undefined;
  const acl = '0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000400ffffffff';
  expect([...(xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString('hex')])).toEqual([
    ['user.one', Buffer.from('a=b').toString('hex')],
    ['user.two', '0001'],
    ['system.posix_acl_access', acl],
    ['security.selinux', Buffer.from('u:r:t\0').toString('hex')],
  ]);
});

test('attributes as GNU tar archives them', async () => {
  using folder = new Folder();
  writeFileSync(folder.file('file'), 'x');
  python(`import os, sys; os.setxattr(sys.argv[1], 'user.binary', bytes(range(256)))`, folder.file('file'));
  run('tar', ['--xattrs', '-C', folder.path, '-cf', folder.file('tar'), 'file']);
  const [entry] = await readAll(pieces(readFileSync(folder.file('tar'))));
  expect(entry && 'xattrs' in entry ? entry.xattrs?.get('user.binary') : undefined).toEqual(
    Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  );
});

test('whiteouts are names like others', async () => {
  const archive = pythonTar(`
t = tarfile.open(fileobj=out, mode='w'); add(t, 'a/.wh.b'); add(t, 'a/.wh..wh..opq'); t.close()`);
  expect((await readAll(pieces(archive))).map(({ path }) => String(path))).toEqual([
    'a/.wh.b',
    'a/.wh..wh..opq',
  ]);
});

describe('hostile archives', () => {
  const tarOf = (name: string, more: string) =>
    pythonTar(`
t = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT); add(t, ${JSON.stringify(name)}, ${more}); t.close()`);
  test.each([
    ['BAD_PATH', tarOf('../../etc/passwd', "data=b'x'")],
    ['BAD_PATH', tarOf('/etc/passwd', "data=b'x'")],
    ['BAD_LINK', tarOf('link', "tarfile.LNKTYPE, linkname='/etc/passwd'")],
    ['BAD_LINK', tarOf('link', "tarfile.LNKTYPE, linkname='later'")],
    ['UNSUPPORTED', tarOf('odd', "b'M'")],
    ['BAD_ARCHIVE', tarOf('odd', "pax_headers={'size': '-1'}")],
    ['BAD_ARCHIVE', tarOf('odd', "pax_headers={'mtime': 'yesterday'}")],
    ['BAD_ARCHIVE', tarOf('odd', "pax_headers={'GNU.sparse.map': '5,1,3,1', 'GNU.sparse.size': '9'}")],
    ['BAD_ARCHIVE', tarOf('odd', "pax_headers={'GNU.sparse.map': '0,9', 'GNU.sparse.size': '9'}")],
    ['BAD_ATTRIBUTE', tarOf('odd', "pax_headers={'SCHILY.acl.access': 'user:somebody:rwx'}")],
  ])('%s', async (code, archive) => {
    using folder = new Folder();
    await expect(makeImage(folder.file('image'), () => readTar(pieces(archive)))).rejects.toMatchObject({
      name: 'Ext2Error',
      code,
      path: expect.any(String),
    });
  });

  test.each([
    ['one entry', 'XHDTYPE', 'key=', 2 ** 20],
    ['all entries', 'XGLTYPE', 'key%d=', 2 ** 16],
  ])('headers about %s without an end', async (_, type, key, limit) => {
    const archive = pythonTar(`
t = tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT)
for i in range(${limit} // 1000 + 2):
    key = '${key}'.replace('%d', str(i)).encode()
    add(t, 'h', tarfile.${type}, data=b'1000 ' + key + b'v' * (1000 - 5 - len(key) - 1) + b'\\n')
t.close()`);
    await expect(readAll(pieces(archive))).rejects.toMatchObject({
      code: 'BAD_ARCHIVE',
      message: expect.stringContaining(String(limit)),
    });
  });

  test('what is cut off, empty or no archive', async () => {
    const archive = pythonTar(
      `t = tarfile.open(fileobj=out, mode='w'); add(t, 'a', data=b'x' * 2000); t.close()`,
    );
    for (const length of [100, 600, 1000, 2500]) {
      await expect(readAll(pieces(archive.subarray(0, length)))).rejects.toMatchObject({ code: 'TRUNCATED' });
    }
    await expect(readAll(pieces(Buffer.alloc(0)))).rejects.toMatchObject({ code: 'TRUNCATED' });
    await expect(readAll(pieces(Buffer.alloc(2000, 'text')))).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    await expect(readAll(pieces(gzipSync(archive).subarray(0, 60)))).rejects.toMatchObject({
      code: 'BAD_ARCHIVE',
    });
    const xz = Buffer.from('fd377a585a000004', 'hex');
    await expect(readAll(pieces(xz))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('xz'),
    });
    expect(await readAll(pieces(Buffer.alloc(1024)))).toEqual([]);
  });

  test('archives that were tampered with are read or refused', async () => {
    const archive = pythonTar(`
t = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT)
add(t, 'a', data=b'x' * 700, pax_headers={'SCHILY.xattr.user.a': 'b', 'mtime': '1.5'})
add(t, 'b' * 200, tarfile.SYMTYPE, linkname='c' * 200)
add(t, 's', data=b'1\\n5\\n4\\n' + b' ' * 505 + b'data', pax_headers={'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '900', 'GNU.sparse.name': 'n'})
t.close()`);
    const change = fc.tuple(fc.nat(archive.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (changes, isSealed) => {
          const bytes = Buffer.from(archive);
          for (const [at, value] of changes) bytes.set(value.subarray(0, bytes.length - at), at);
          if (isSealed) sealHeaders(bytes);
          try {
            await readAll(pieces(bytes));
          } catch (error) {
            if (!(error instanceof Ext2Error)) throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
