import { readFileSync } from 'node:fs';
import ts from 'typescript';

export interface OptionRow {
  /** With its group, as in `retry.limit`. */
  readonly name: string;
  readonly text: string;
  readonly byDefault: string | undefined;
  readonly isRequired: boolean;
}

/** Groups of options, by the interface that declares them. */
const GROUPS: Readonly<Record<string, string>> = {
  TimeoutOptions: 'timeouts',
  RetryInput: 'retry',
  BandwidthOptions: 'bandwidth',
  ReplyOptions: 'reply',
};

/** The options of a job, from the comments where they are declared. */
export function jobOptions(): OptionRow[] {
  const groups = new Map(
    ['src/job/options.ts', 'src/job/bandwidth.ts', 'src/reply/reply-option.ts'].flatMap((file) => [
      ...interfacesOf(file),
    ]),
  );
  const membersOf = (type: string): OptionRow[] =>
    groups.get(type)?.members.filter(ts.isPropertySignature).map(rowOf) ?? [];
  const rows: OptionRow[] = [];
  for (const row of membersOf('UploadOptions')) {
    rows.push(row);
    for (const [type, group] of Object.entries(GROUPS)) {
      if (group !== row.name) continue;
      for (const member of membersOf(type)) {
        rows.push({ ...member, name: `${group}.${member.name}` });
      }
    }
  }
  return rows;
}

function interfacesOf(file: string): Map<string, ts.InterfaceDeclaration> {
  const source = ts.createSourceFile(
    file,
    readFileSync(file, 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const found = new Map<string, ts.InterfaceDeclaration>();
  for (const statement of source.statements) {
    if (ts.isInterfaceDeclaration(statement)) found.set(statement.name.text, statement);
  }
  return found;
}

function rowOf(member: ts.PropertySignature): OptionRow {
  const name = member.name.getText();
  const [doc] = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc);
  if (doc === undefined) throw new Error(`the option ${name} has no comment`);
  const tag = doc.tags?.find(({ tagName }) => tagName.text === 'default');
  const flat = (text: string | undefined) => text?.replace(/\s+/g, ' ').trim();
  return {
    name,
    text: flat(ts.getTextOfJSDocComment(doc.comment)) ?? '',
    byDefault: flat(ts.getTextOfJSDocComment(tag?.comment)),
    isRequired: member.questionToken === undefined,
  };
}
