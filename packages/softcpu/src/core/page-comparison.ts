import { CodeBuilder, I32, ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { PAGE_SIZE } from './layout.ts';

/** Whether two pages, by their addresses in the WebAssembly memory, have the same contents. */
export type PageComparison = (first: number, second: number) => boolean;

/** Words of 8 bytes compared in one round of the loop. */
const UNROLLED = 8;

let module: WebAssembly.Module | undefined;

/** A comparison ten times as fast as one in JavaScript: guests that patch their code have many pages compared. */
export function createPageComparison(memory: WebAssembly.Memory): PageComparison {
  module ??= new WebAssembly.Module(build());
  const { exports } = new WebAssembly.Instance(module, { hart: { memory } });
  const differ = exports.differ as (first: number, second: number) => number;
  return (first, second) => differ(first, second) === 0;
}

function build(): Uint8Array<ArrayBuffer> {
  const builder = new ModuleBuilder();
  builder.importMemory('hart', 'memory', { minimumPages: 1, maximumPages: 0x1_0000, shared: true });
  const [first, second] = [0, 1];
  const code = new CodeBuilder(2);
  const end = code.local(I32);
  code.get(first).i32Const(PAGE_SIZE).op(Op.i32Add).set(end);
  const loop = code.loop();
  for (let word = 0; word < UNROLLED; word++) {
    code.get(first).memory(Op.i64Load, word * 8);
    code
      .get(second)
      .memory(Op.i64Load, word * 8)
      .op(Op.i64Xor);
    if (word > 0) {
      code.op(Op.i64Or);
    }
  }
  code.op(Op.i64Eqz).op(Op.i32Eqz).if();
  code.i32Const(1).op(Op.return).end();
  code
    .get(second)
    .i32Const(UNROLLED * 8)
    .op(Op.i32Add)
    .set(second);
  code
    .get(first)
    .i32Const(UNROLLED * 8)
    .op(Op.i32Add)
    .tee(first)
    .get(end)
    .op(Op.i32Ne)
    .brIf(loop);
  code.end();
  code.i32Const(0);
  builder.exportFunction('differ', builder.function(builder.type([I32, I32], [I32]), code));
  return builder.toBytes();
}
