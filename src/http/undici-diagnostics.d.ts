declare module 'undici/lib/core/diagnostics.js' {
  const diagnostics: { channels: Record<string, unknown> };
  export default diagnostics;
}
