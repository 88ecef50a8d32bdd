import { defineConfig } from 'vitepress';
import menu from '../menu.json' with { type: 'json' };

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1l5 6H9v5H7V7H3zM2 13h12v2H2z" fill="#3451b2"/></svg>';

export default defineConfig({
  title: 'bits-upload',
  description: 'Uploads to Microsoft BITS servers from Node.js on any system.',
  lang: 'en',
  srcDir: 'pages',
  outDir: 'dist',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(ICON)}` }]],
  themeConfig: {
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'Command line', link: '/cli' },
      { text: 'API', link: '/api/bits-upload' },
    ],
    sidebar: menu,
    outline: [2, 3],
    search: { provider: 'local' },
  },
});
