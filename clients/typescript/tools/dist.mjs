// Builds dist/: ES modules and CommonJS. tsc writes only what changed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';

if (!existsSync('dist')) {
  // tsc would think that its former output is still there.
  for (const name of ['esm', 'cjs']) rmSync(`build/${name}.tsbuildinfo`, { force: true });
}
for (const name of ['esm', 'cjs']) {
  execFileSync('node_modules/.bin/tsc', ['-p', `tsconfig.${name}.json`], { stdio: 'inherit' });
}
mkdirSync('dist/cjs', { recursive: true });
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');
