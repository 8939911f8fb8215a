// The official parser's word on one AsyncAPI file: a line for each diagnostic that is an error or a warning.
// `node asyncapi.mjs FOLDER FILE`: the parser is in FOLDER/node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
const { Parser, fromFile } = createRequire(pathToFileURL(`${folder}/`))("@asyncapi/parser");
const { document, diagnostics } = await fromFile(new Parser(), file).parse();
const WORDS = ["error", "warning"];
for (const one of diagnostics.filter((found) => found.severity < WORDS.length)) {
  const { line } = one.range?.start ?? {};
  console.log(`${WORDS[one.severity]}: line ${line === undefined ? "?" : line + 1}, ${one.path.join(" ")}: ${one.message}`);
}
if (!document) process.exitCode = 1;
