// ESLint for static/src, without a plugin: node_modules stay out of the repository.
//   eslint --config tests/static/eslint.config.js static/src
const BROWSER = [
  "AbortController", "AbortSignal", "ArrayBuffer", "Blob", "CustomEvent", "DOMException", "DOMParser", "Event", "FormData",
  "HTMLAnchorElement", "HTMLElement", "HTMLFormElement", "HTMLScriptElement", "Headers", "Node", "PerformanceNavigationTiming", "ProgressEvent", "PublicKeyCredential", "Request", "Response",
  "SubmitEvent", "TextDecoder", "URL", "URLSearchParams", "Element", "atob", "btoa", "clearTimeout", "document", "fetch", "history",
  "location", "navigator", "performance", "queueMicrotask", "sessionStorage", "setTimeout", "window", "XMLHttpRequest",
];

export default [
  {
    files: ["static/src/**/*.js"],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: "module",
      globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      "consistent-return": "error",
      "default-case-last": "error",
      "eqeqeq": "error",
      "no-cond-assign": "error",
      "no-console": "error",
      "no-const-assign": "error",
      "no-constant-binary-expression": "error",
      "no-dupe-keys": "error",
      "no-else-return": "error",
      "no-eval": "error",
      "no-fallthrough": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-param-reassign": "error",
      "no-promise-executor-return": "off",
      "no-redeclare": "error",
      "no-restricted-globals": ["error", "event", "name", "open", "close", "status", "parent", "top", "origin"],
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({ property })),
        { object: "document", property: "cookie" },
      ],
      "no-script-url": "error",
      "no-self-compare": "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unmodified-loop-condition": "error",
      "no-unreachable": "error",
      "no-unused-vars": ["error", { args: "all" }],
      "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "require-atomic-updates": "off",
    },
  },
];
