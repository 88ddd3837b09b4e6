export {
  type ConformanceCase,
  type DiskUnderTest,
  readOnlyCases,
  resizableCases,
  writableCases,
} from './cases.ts';
