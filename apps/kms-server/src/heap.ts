import { setFlagsFromString } from 'node:v8';

// Before anything else runs: from the code that starts a server V8 would learn to allocate as if everything lived long,
// and a call's objects, made old that way, wait for full collections together with all that they refer to.
setFlagsFromString('--no-allocation-site-pretenuring');
