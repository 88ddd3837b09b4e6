import { serveTranslations } from '../core/region/translation-worker.ts';
import { riscvRegions } from './region-architecture.ts';
import { RiscvCodeSource } from './region-code-source.ts';

serveTranslations(riscvRegions, (memory) => new RiscvCodeSource(memory));
