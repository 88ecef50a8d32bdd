import path from 'node:path';
import ts from 'typescript';

/** Code under a name whose ending says how strictly it is checked: `.mjs` or `.mts`. */
export interface Code {
  readonly name: string;
  readonly text: string;
}

/** Parameters without a type are no mistake in JavaScript. */
const IMPLICIT_ANY = [7005, 7006, 7019, 7031, 7034, 7053];

/** Electron cannot be installed everywhere; of it the guides use this. */
const ELECTRON: Code = {
  name: 'electron.d.ts',
  text: `declare module 'electron' {
    export const app: { whenReady(): Promise<void> };
    export const net: import('bits-upload/electron').ElectronNet;
    export const session: { defaultSession: { fetch: typeof fetch } };
  }`,
};

/**
 * Checks code against the declarations that users get, without writing it anywhere.
 * @returns what is wrong, by the name of the code
 */
export function compile(codes: readonly Code[]): Map<string, string[]> {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node', 'mocha'],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    allowJs: true,
    checkJs: true,
    noEmit: true,
  };
  // In the folder of the package, whose name then leads to its own declarations.
  const files = new Map(
    [...codes, ELECTRON].map(({ name, text }) => [path.resolve('.blocks', name), text]),
  );
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => files.get(file) ?? readFile(file);
  host.getSourceFile = (file, ...rest) => {
    const text = files.get(file);
    if (text === undefined) return getSourceFile(file, ...rest);
    return ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  };
  // The folder of the blocks is none.
  host.directoryExists = () => true;
  const program = ts.createProgram([...files.keys()], options, host);
  return new Map(
    codes.map(({ name }) => {
      const source = program.getSourceFile(path.resolve('.blocks', name));
      const found = [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ].filter(({ code }) => name.endsWith('.mts') || !IMPLICIT_ANY.includes(code));
      return [
        name,
        found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')),
      ];
    }),
  );
}
