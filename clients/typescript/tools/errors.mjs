// Writes the table of the API's errors (R4) as TypeScript: `node tools/errors.mjs < errors.tsv`.
import { readFileSync } from 'node:fs';

const [, ...rows] = readFileSync(0, 'utf8').trim().split('\n');
const snake = (code) => code.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
const lines = rows.map((row) => {
  const [name, code, , retry, maybe, text] = row.split('\t');
  const fields = [
    `name: '${name}'`,
    `code: '${snake(code)}'`,
    `retry: ${retry === 'yes'}`,
    `maybe: ${maybe === 'yes'}`,
    `text: ${JSON.stringify(text)}`,
  ];
  return `  { ${fields.join(', ')} },`;
});
console.log(`// Generated from errors.tsv by stubs.sh. Do not edit.

/** Errors that the API defines. A client recognises them by their text. */
export const API_ERRORS = [
${lines.join('\n')}
] as const;

/** Name of an error that the API defines. */
export type ApiErrorName = (typeof API_ERRORS)[number]['name'];`);
