#!/bin/sh
# Packs the package, installs it into two projects of its own, an ES module and a CommonJS one, and runs README's tour in both.
set -eu
cd "$(dirname "$0")/.."
client=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --ignore-scripts --pack-destination "$work" > /dev/null
tarball=$(ls "$work"/*.tgz)

# The tour is the README's first block of code.
awk '/^```/ { if (inside) exit; inside = /^```ts/; next } inside' README.md > "$work/tour.ts"
for kind in module commonjs; do
  mkdir "$work/$kind"
  cp "$work/tour.ts" "$work/$kind/"
  cat > "$work/$kind/package.json" <<END
{ "name": "tour", "private": true, "type": "$kind" }
END
  cat > "$work/$kind/tsconfig.json" <<END
{ "compilerOptions": { "target": "ES2022", "lib": ["ES2023", "ESNext.Disposable"], "module": "node16", "strict": true, "types": ["node"] } }
END
  (
    cd "$work/$kind"
    npm install --silent --prefer-offline --no-fund --no-audit "$tarball" @types/node@20.19.43
    # Types are checked, the package's own included.
    "$client/node_modules/.bin/tsc" -p .
  )
done
node "$client/packing/tour.mjs" "$work/module" "$work/commonjs"
