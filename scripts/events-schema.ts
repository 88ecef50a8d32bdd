import { createGenerator } from 'ts-json-schema-generator';

/** What the schema of the events holds of JSON Schema. */
export interface EventsSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly definitions: Readonly<Record<string, EventSchema>>;
}

interface EventSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, { readonly const?: string }>>;
  readonly anyOf?: readonly { readonly $ref: string }[];
}

/**
 * The JSON Schema of what `--json` prints, made from `src/cli-events.ts`.
 * @param isStrict without room for the fields that later releases may add
 */
export function eventsSchema({ isStrict = false } = {}): EventsSchema {
  const generator = createGenerator({
    path: 'src/cli-events.ts',
    type: 'CliEvent',
    tsconfig: 'tsconfig.json',
    skipTypeCheck: true,
    sortProps: false,
    additionalProperties: !isStrict,
  });
  const schema = generator.createSchema('CliEvent') as EventsSchema;
  return { ...schema, title: 'A line of bits-upload --json' };
}

/** Each type of event, with its description and its fields. */
export function eventRows(): { type: string; text: string; fields: readonly string[] }[] {
  const { definitions } = eventsSchema();
  const events = definitions.CliEvent?.anyOf ?? [];
  return events.map(({ $ref }) => {
    const { description = '', properties = {} } =
      definitions[$ref.replace('#/definitions/', '')] ?? {};
    const { type, ...fields } = properties;
    return { type: type?.const ?? '', text: description, fields: Object.keys(fields) };
  });
}
