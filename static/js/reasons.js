// Why a control cannot act is in its title, which a finger never sees: pressing it says so.

import { isDisabled } from "./dom.js";
import { toast } from "./toast.js";

export function makeReasons() {
  const say = (event) => {
    const control = event.target.closest?.('[aria-disabled="true"]');
    if (control?.title && isDisabled(control)) toast(control.title, "i-info");
  };
  document.addEventListener("click", say, true); // before the press does something that disables it
}
