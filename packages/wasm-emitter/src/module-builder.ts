import { ByteWriter } from './byte-writer.ts';
import type { CodeBuilder } from './code-builder.ts';
import type { ValueType } from './opcodes.ts';

/** Limits of an imported memory, in pages of 64 KiB. */
export interface MemoryImport {
  readonly minimumPages: number;
  readonly maximumPages: number;
  readonly shared: boolean;
}

interface Import {
  readonly module: string;
  readonly name: string;
  readonly description: Uint8Array;
}

interface DefinedFunction {
  readonly type: number;
  readonly code: CodeBuilder;
}

const MAGIC_AND_VERSION = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const FUNCREF = 0x70;

/**
 * Puts functions together to a module (core specification 5.5). Imports come before definitions: function indices count
 * the imported functions first.
 */
export class ModuleBuilder {
  readonly #types = new Map<string, number>();
  readonly #typeSection = new ByteWriter(256);
  readonly #imports: Import[] = [];
  readonly #functions: DefinedFunction[] = [];
  readonly #exports: { readonly name: string; readonly index: number }[] = [];
  #importedFunctionCount = 0;

  /** Index of a function type; equal types have one index. */
  type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${parameters.join()}>${results.join()}`;
    const known = this.#types.get(key);
    if (known !== undefined) {
      return known;
    }
    const index = this.#types.size;
    this.#types.set(key, index);
    this.#typeSection.byte(0x60);
    this.#typeSection.vector(Uint8Array.from(parameters));
    this.#typeSection.vector(Uint8Array.from(results));
    return index;
  }

  importMemory(module: string, name: string, limits: MemoryImport): void {
    const description = new ByteWriter(16);
    description.byte(0x02);
    description.byte(limits.shared ? 0x03 : 0x01);
    description.unsigned(limits.minimumPages);
    description.unsigned(limits.maximumPages);
    this.#imports.push({ module, name, description: description.toBytes() });
  }

  importTable(module: string, name: string, minimum: number): void {
    const description = new ByteWriter(16);
    description.bytes(Uint8Array.of(0x01, FUNCREF, 0x00));
    description.unsigned(minimum);
    this.#imports.push({ module, name, description: description.toBytes() });
  }

  /** @returns the function's index, for `call`. */
  importFunction(module: string, name: string, type: number): number {
    if (this.#functions.length > 0) {
      throw new RangeError(`import ${name} before the first function is defined: it shifts their indices`);
    }
    const description = new ByteWriter(8);
    description.byte(0x00);
    description.unsigned(type);
    this.#imports.push({ module, name, description: description.toBytes() });
    return this.#importedFunctionCount++;
  }

  /** @returns the function's index, for `call`. The code may still be written to until {@link toBytes}. */
  function(type: number, code: CodeBuilder): number {
    this.#functions.push({ type, code });
    return this.#importedFunctionCount + this.#functions.length - 1;
  }

  exportFunction(name: string, index: number): void {
    this.#exports.push({ name, index });
  }

  /** The module in the binary format. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const module = new ByteWriter(4096);
    module.bytes(MAGIC_AND_VERSION);

    const types = new ByteWriter(this.#typeSection.length + 8);
    types.unsigned(this.#types.size);
    types.bytes(this.#typeSection.view());
    writeSection(module, 1, types);

    const imports = new ByteWriter(256);
    imports.unsigned(this.#imports.length);
    for (const entry of this.#imports) {
      imports.name(entry.module);
      imports.name(entry.name);
      imports.bytes(entry.description);
    }
    writeSection(module, 2, imports);

    const functions = new ByteWriter(64);
    functions.unsigned(this.#functions.length);
    for (const entry of this.#functions) {
      functions.unsigned(entry.type);
    }
    writeSection(module, 3, functions);

    const exports = new ByteWriter(256);
    exports.unsigned(this.#exports.length);
    for (const entry of this.#exports) {
      exports.name(entry.name);
      exports.byte(0x00);
      exports.unsigned(entry.index);
    }
    writeSection(module, 7, exports);

    const code = new ByteWriter(4096);
    code.unsigned(this.#functions.length);
    for (const entry of this.#functions) {
      entry.code.writeTo(code);
    }
    writeSection(module, 10, code);
    return module.toBytes();
  }
}

function writeSection(module: ByteWriter, id: number, contents: ByteWriter): void {
  module.byte(id);
  module.vector(contents.view());
}
