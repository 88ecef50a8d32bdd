import { readFileSync } from 'node:fs';
import { mkdir, readdir, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import ts from 'typescript';

/** The public face of one entry of the package, as text that is compared in CI. */
export interface ApiReport {
  readonly file: string;
  readonly text: string;
  /** Exports, methods of exported classes, and options that have no comment. */
  readonly undocumented: readonly string[];
}

interface Entry {
  /** As users import it: `bits-upload/testing`. */
  readonly name: string;
  readonly declarations: string;
}

const FOLDER = 'api';
const printer = ts.createPrinter({ removeComments: true, newLine: ts.NewLineKind.LineFeed });

/** Reads the declarations that `npm run build` has made. */
export function apiReports(): ApiReport[] {
  const entries = packageEntries();
  const program = ts.createProgram(
    entries.map(({ declarations }) => declarations),
    { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2023, types: ['node'] },
  );
  return entries.map((entry) => report(entry, program));
}

function packageEntries(): Entry[] {
  const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  return Object.entries(exports).flatMap(([subpath, target]) => {
    const declarations = declarationsOf(target);
    if (declarations === undefined) return [];
    return [{ name: path.posix.join(name, subpath), declarations: path.resolve(declarations) }];
  });
}

/** The first file of declarations among the conditions of an export. */
function declarationsOf(target: unknown): string | undefined {
  if (typeof target === 'string') return /\.d\.m?ts$/.test(target) ? target : undefined;
  for (const each of Object.values(target as object)) {
    const found = declarationsOf(each);
    if (found !== undefined) return found;
  }
  return undefined;
}

function report({ name, declarations }: Entry, program: ts.Program): ApiReport {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(declarations);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${declarations} is missing: npm run build first`);
  const exported = new Map<ts.Symbol, string>();
  for (const symbol of checker.getExportsOfModule(module)) {
    exported.set(resolved(symbol, checker), symbol.name);
  }
  const used = usedSymbols([...exported.keys()], checker);
  const hidden = [...used].filter((symbol) => !exported.has(symbol));
  const sections = [
    `# API of \`${name}\``,
    'Made by `npm run api` from the declarations. A change here is a change for users: say so in the changelog.',
    block([...exported].map(([symbol, as]) => [as, textOf(symbol)] as const)),
  ];
  if (hidden.length > 0) {
    sections.push(
      '## Used above, but not exported',
      block(hidden.map((symbol) => [symbol.name, textOf(symbol)] as const)),
    );
  }
  return {
    file: `${FOLDER}/${name.replaceAll('/', '-')}.md`,
    text: `${sections.join('\n\n')}\n`,
    undocumented: [...exported.keys()].flatMap((symbol) => undocumented(symbol, checker)).sort(),
  };
}

function resolved(symbol: ts.Symbol, checker: ts.TypeChecker): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** Exports, and what their declarations name of this package. */
function usedSymbols(roots: readonly ts.Symbol[], checker: ts.TypeChecker): Set<ts.Symbol> {
  const found = new Set(roots);
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const symbol = checker.getSymbolAtLocation(node);
      if (symbol) found.add(resolved(symbol, checker));
    }
    ts.forEachChild(node, visit);
  };
  // A set is iterated in the order of insertion, what is added on the way included.
  for (const symbol of found) {
    if (!isOwn(symbol)) found.delete(symbol);
    else for (const declaration of declarationsIn(symbol)) visit(declaration);
  }
  return found;
}

function isOwn(symbol: ts.Symbol): boolean {
  return declarationsIn(symbol).length > 0;
}

/** The statements that declare it in this package; none for members, parameters and others' types. */
function declarationsIn(symbol: ts.Symbol): ts.Node[] {
  return (symbol.declarations ?? []).flatMap((declaration) => {
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    const isTop = ts.isSourceFile(node.parent);
    const isOurs = !node.getSourceFile().fileName.includes('node_modules');
    const declares = ts.isStatement(node) || ts.isClassDeclaration(node);
    return isTop && isOurs && declares ? [node] : [];
  });
}

function textOf(symbol: ts.Symbol): string {
  return declarationsIn(symbol)
    .map((node) => printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile()))
    .map((text) => text.replace(/^ *(?:#private|private .*);\n/gm, ''))
    .join('\n');
}

function block(declarations: readonly (readonly [name: string, text: string])[]): string {
  const sorted = [...declarations].sort(([a], [b]) => (a < b ? -1 : 1));
  return `\`\`\`ts\n${sorted.map(([, text]) => text).join('\n\n')}\n\`\`\``;
}

function undocumented(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  const declarations = declarationsIn(symbol);
  const members = declarations.flatMap((node): ts.NamedDeclaration[] => {
    if (ts.isClassDeclaration(node))
      return node.members.filter((each) => !ts.isPropertyDeclaration(each));
    return ts.isInterfaceDeclaration(node) && isOptions(node) ? [...node.members] : [];
  });
  const names = members.flatMap(({ name }) => {
    if (name === undefined || !ts.isIdentifier(name)) return [];
    const own = checker.getSymbolAtLocation(name);
    return own && !isDocumented(own, checker) ? [`${symbol.name}.${own.name}`] : [];
  });
  return isDocumented(symbol, checker) ? names : [symbol.name, ...names];
}

/** What users write, and so look up one by one. */
function isOptions({ name }: ts.InterfaceDeclaration): boolean {
  return /(?:Options|Input)$/.test(name.text);
}

function isDocumented(symbol: ts.Symbol, checker: ts.TypeChecker): boolean {
  return symbol.getDocumentationComment(checker).length > 0;
}

if (process.argv[1] === import.meta.filename) {
  await mkdir(FOLDER, { recursive: true });
  for (const name of await readdir(FOLDER)) await unlink(path.join(FOLDER, name));
  for (const { file, text } of apiReports()) await writeFile(file, text);
}
