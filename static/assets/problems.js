// The problems' page is complete without a script. This one finds the problem that /problems/<slug> names.

import { find } from "/assets/ui.js";

const slug = location.pathname.split("/")[2];
const problem = slug && find(`#${CSS.escape(slug)}`);
problem?.classList.add("chosen");
problem?.scrollIntoView();
document.body.dataset.step = "ready";
