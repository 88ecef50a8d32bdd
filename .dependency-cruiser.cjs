// The floors of docs/architecture.md: a floor may import the floors listed for it, and itself.
const floors = {
  version: [],
  'across-copies': ['version'],
  errors: ['across-copies'],
  common: ['errors'],
  protocol: ['common', 'errors'],
  session: ['protocol', 'common', 'errors'],
  transport: ['protocol', 'common', 'errors', 'across-copies', 'version'],
  source: ['protocol', 'common', 'errors', 'across-copies'],
  reply: ['protocol', 'common', 'errors', 'across-copies'],
  store: ['protocol', 'common', 'errors'],
  job: [
    'session',
    'transport',
    'source',
    'reply',
    'store',
    'protocol',
    'common',
    'errors',
    'across-copies',
  ],
  queue: ['job', 'store', 'protocol', 'common', 'errors'],
  bullmq: ['queue', 'job', 'source', 'reply', 'store', 'protocol', 'common', 'errors'],
  diagnose: ['job', 'transport', 'protocol', 'common', 'errors', 'version'],
  testing: ['protocol', 'common', 'errors'],
};

/** Of these the store may import types: a record holds what they say of themselves. */
const typesOfRecords = ['session', 'source', 'reply'];

const place = (floor) =>
  ['across-copies', 'errors', 'version'].includes(floor) ? `^src/${floor}\\.ts$` : `^src/${floor}/`;

const floorRules = Object.entries(floors).map(([floor, below]) => ({
  name: `${floor}-imports-only-floors-below`,
  severity: 'error',
  from: { path: place(floor) },
  to: { path: '^src/', pathNot: [floor, ...below].map(place) },
}));
const storeRule = floorRules.find(({ name }) => name.startsWith('store-'));
storeRule.to.pathNot.push(...typesOfRecords.map(place));
floorRules.push({
  name: 'store-imports-only-types-of-session-source-reply',
  severity: 'error',
  from: { path: place('store') },
  to: { path: typesOfRecords.map(place), dependencyTypesNot: ['type-only'] },
});

module.exports = {
  forbidden: [
    ...floorRules,
    {
      name: 'cli-uses-the-public-face',
      comment:
        'The command line uses the SDK as users do; what only it needs is in internal.ts, in plain sight.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: {
        path: '^src/',
        pathNot: [
          '^src/cli/',
          '^src/common/',
          '^src/index\\.ts$',
          '^src/bullmq\\.ts$',
          '^src/internal\\.ts$',
          '^src/cli-events\\.ts$',
          '^src/testing/index\\.ts$',
          '^src/version\\.ts$',
          // What a header may hold is a rule of HTTP, which the SDK does not have to export.
          '^src/common/header-fields\\.ts$',
        ],
      },
    },
    {
      name: 'internal-is-for-the-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/internal\\.ts$' },
    },
    {
      name: 'pure-floors-do-no-io',
      severity: 'error',
      from: { path: '^src/(protocol|session|errors)' },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer'] },
    },
    {
      name: 'pure-floors-use-the-pure-part-of-common',
      severity: 'error',
      from: { path: '^src/(protocol|session)/' },
      to: { path: '^src/common/', pathNot: '^src/common/(header-fields|error-like)\\.ts$' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'src-uses-declared-packages-only',
      comment: 'Those named are bundled: docs/dependencies.md says why.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        pathNot: '^node_modules/(csv-parse|env-paths|p-retry|uuid)/',
        // An optional peer is a devDependency as well, for the tests.
        dependencyTypesNot: ['npm-peer'],
      },
    },
    {
      name: 'bullmq-is-for-its-subpath',
      comment: 'Who uploads from one machine needs neither BullMQ nor Redis.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/bullmq/' },
      to: { path: 'node_modules/(bullmq|ioredis)/' },
    },
    {
      name: 'p-retry-has-one-caller',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/job/driver\\.ts$' },
      to: { path: 'node_modules/p-retry/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'default', 'types'],
    },
  },
};
