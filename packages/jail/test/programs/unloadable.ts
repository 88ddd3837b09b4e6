export function prepare(): void {
  throw new Error('this module does not load');
}

export function run(): void {}
