const { appendFileSync } = require('node:fs')

const core = {
  setSecret: (value) => console.log(`::add-mask::${value}`),
  setOutput: (name, value) => appendFileSync(process.env.GITHUB_OUTPUT, `${name}=${value}\n`),
}
new Function('core', process.env.INPUT_SCRIPT)(core)
