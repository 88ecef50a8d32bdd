// The floors of docs/architecture.md: a floor may import the floors listed for it, and itself.
const floors = {
  'abort-switch': [],
  'error-like': [],
  errors: [],
  version: [],
  protocol: ['errors'],
  session: ['protocol', 'errors'],
  transport: ['protocol', 'errors', 'abort-switch', 'error-like', 'version'],
  source: ['protocol', 'errors'],
  reply: ['protocol', 'errors'],
  store: ['protocol', 'errors', 'error-like'],
  job: [
    'session',
    'transport',
    'source',
    'reply',
    'store',
    'protocol',
    'errors',
    'abort-switch',
    'error-like',
  ],
  doctor: ['job', 'transport', 'protocol', 'errors', 'error-like', 'version'],
  testing: ['protocol', 'errors'],
};

const files = ['abort-switch', 'error-like', 'errors', 'version'];
const place = (floor) => (files.includes(floor) ? `^src/${floor}\\.ts$` : `^src/${floor}/`);

const floorRules = Object.entries(floors).map(([floor, below]) => ({
  name: `${floor}-imports-only-floors-below`,
  severity: 'error',
  from: { path: place(floor) },
  to: { path: '^src/', pathNot: [floor, ...below].map(place) },
}));

module.exports = {
  forbidden: [
    ...floorRules,
    {
      name: 'cli-uses-the-public-face',
      comment:
        'What the command line needs from the SDK must be public, or users could not build it.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: {
        path: '^src/',
        pathNot: [
          '^src/cli/',
          '^src/index\\.ts$',
          '^src/testing/index\\.ts$',
          '^src/version\\.ts$',
        ],
      },
    },
    {
      name: 'pure-floors-do-no-io',
      severity: 'error',
      from: { path: '^src/(protocol|session|errors|abort-switch|error-like)' },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'src-uses-declared-packages-only',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
    {
      name: 'p-retry-has-one-caller',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/job/retry\\.ts$' },
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
