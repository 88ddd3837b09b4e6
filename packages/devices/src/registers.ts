/** What a thread that runs a vCPU needs: devices' registers, without their back ends and what these are made of. */
export { attachBus, type BusDescriptor } from './attach.ts';
export { type Bus, type BusAccess, createBusAccess } from './bus.ts';
export type { DeviceEnvironment } from './environment.ts';
export { ByteRing } from './serial/byte-ring.ts';
