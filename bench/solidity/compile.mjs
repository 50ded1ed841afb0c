// Standard JSON in, standard JSON out; imports come from the packages of bench/package.json.
import { readFileSync } from "node:fs";
import solc from "solc";

const packages = new URL("../node_modules/", import.meta.url);

function readImport(path) {
  try {
    return { contents: readFileSync(new URL(path, packages), "utf8") };
  } catch (error) {
    return { error: error.message };
  }
}

process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: readImport }));
