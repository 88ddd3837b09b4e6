import type { ConformanceCase } from './case.ts';
import { lifetimeCases } from './lifetimes.ts';
import { transferCases } from './transfers.ts';

export type { ConformanceCase, ExecutorUnderTest } from './case.ts';

/** What every `Executor` does, for any test runner. */
export const executorCases: readonly ConformanceCase[] = [...transferCases, ...lifetimeCases];
