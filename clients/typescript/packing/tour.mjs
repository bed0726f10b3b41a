// Runs the tour in each folder against a new member, and compares what it prints with what README says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Cluster } from '../build/all/test/cluster.js';

const expected = /```text\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'))[1];
for (const folder of process.argv.slice(2)) {
  const cluster = await Cluster.start();
  try {
    const env = { ...process.env, ETCDCTL_ENDPOINTS: cluster.endpoints.join() };
    assert.equal(execFileSync(process.execPath, ['tour.js'], { cwd: folder, env, encoding: 'utf8', timeout: 60_000 }), expected);
    // The other entry points are there in both kinds.
    const loads = [
      "import('@conclave/client/api').then((api) => { if (!api.KVService.range.path) process.exit(1); })",
      "import('@conclave/client/grpc').then((grpc) => { if (!grpc.registerConclaveResolver) process.exit(1); })",
      "if (!require('@conclave/client/api').KVService.range.path) process.exit(1)",
      "if (!require('@conclave/client/grpc').registerConclaveResolver) process.exit(1)",
    ];
    for (const load of loads) execFileSync(process.execPath, ['--input-type=commonjs', '-e', load], { cwd: folder });
    console.log(`the tour works in ${folder.replace(/.*\//, '')}`);
  } finally {
    await cluster[Symbol.asyncDispose]();
  }
}
