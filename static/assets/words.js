// The words that pages share, in English and Chinese, and the choice between the two. `define` adds a page's own.

import { keep, kept } from "/assets/store.js";

const WORDS = {
  sales: ["Sales", "抢购"],
  orders: ["My orders", "我的订单"],
  skip: ["Skip to content", "跳到正文"],
  other: ["中文", "English"],
  footer: [
    "Times are yours, the clock is ours. First come, first served.",
    "时间按你所在时区显示，倒计时以本站时钟为准。先到先得。",
  ],

  // The start, as on a track.
  marks: ["On your marks", "各就各位"],
  set: ["Get set", "预备"],
  go: ["Go", "开抢"],
  d: ["days", "天"],
  h: ["hours", "时"],
  m: ["min", "分"],
  s: ["sec", "秒"],
  announce_m: ["{n} minutes to the start", "距开抢还有 {n} 分钟"],
  announce_s: ["{n} seconds to the start", "距开抢还有 {n} 秒"],
  announce_go: ["The sale is open. You can reserve now.", "已开抢，现在可以抢购。"],

  // States of an item.
  upcoming: ["Upcoming", "即将开抢"],
  open: ["Open", "抢购中"],
  paused: ["Paused", "已暂停"],
  sold_out: ["Sold out", "已抢光"],
  ended: ["Ended", "已结束"],
  starts: ["Starts {t}", "{t} 开抢"],
  ends: ["Ends {t}", "{t} 结束"],
  starts_in: ["Starts in", "距开抢"],
  left: ["{n} of {total} left", "仅剩 {n} / {total}"],
  units: ["{n} units", "共 {n} 件"],
  off: ["−{n}%", "{z} 折"],
  list_price: ["List price", "原价"],
  sale_price: ["Sale price", "抢购价"],
  limit: ["Limit {n} a shopper", "每人限购 {n} 件"],
  queued_mode: ["Served in order of arrival", "按到达顺序依次处理"],
  instant_mode: ["Decided on the spot", "当场出结果"],

  // The item.
  missing: ["No such item", "没有这件商品"],
  missing_text: ["It may have been taken down, or the address is mistyped.", "它可能已下架，或地址有误。"],
  all_sales: ["See all sales", "查看全部活动"],
  reserve: ["Reserve now", "立即抢购"],
  not_yet: ["Not open yet", "尚未开抢"],
  our_clock: [
    "No need to reload: this page counts by our clock, and the button wakes by itself.",
    "无需刷新：本页以服务器时钟计时，到点按钮自动可点。",
  ],
  how: [
    "One short check, then you are in line. Asking twice doesn’t get you two places.",
    "通过一次简单验证即可排队；重复点击不会多占名额。",
  ],
  quantity: ["Quantity", "数量"],
  fewer: ["One fewer", "减一件"],
  one_more: ["One more", "加一件"],
  wait_open: ["A moment, please", "请稍候"],
  asking: ["Asking for your check…", "正在获取验证…"],
  sending: ["Taking your place…", "正在为你排队…"],
  checking: ["Looking for your place…", "正在查询你的名额…"],

  // The challenge.
  challenge: ["Show that you are you", "请完成验证"],
  challenge_image: ["Type the characters in the picture. Capitals don’t matter.", "输入图中的字符，不区分大小写。"],
  picture: ["Picture with distorted characters", "验证码图片"],
  answer: ["Characters", "字符"],
  another: ["Another picture", "换一张"],
  instead: ["Can’t read pictures? Let my device do a sum instead", "看不清图片？改由设备计算验证"],
  submit: ["Join the queue", "提交并排队"],
  cancel: ["Cancel", "取消"],
  answer_missing: ["Type what you see in the picture.", "请输入图中的字符。"],
  wrong: ["That wasn’t it. Here is a new one.", "答案不对，已换一张新的。"],
  lapsed: ["That check had lapsed. Here is a new one.", "验证已过期，请重新完成。"],
  challenge_pow: [
    "Your device is doing a small sum, so that robots must pay for each try. Nothing to type.",
    "你的设备正在做一道小计算题，让机器人每次尝试都付出代价。无需输入。",
  ],
  pow_done: ["Done: sending your answer", "完成，正在提交"],
  pow_progress: ["Working: {n}%", "计算中：{n}%"],
  challenge_widget: ["Complete the check below.", "请完成下方验证。"],
  widget_loading: ["Loading the check…", "正在加载验证…"],
  widget_failed: ["The check could not be loaded.", "验证组件加载失败。"],

  // The queue.
  queued: ["You are in the queue", "你已在队列中"],
  place: ["Your place", "当前名次"],
  next: ["You are next", "马上轮到你"],
  queued_text: [
    "Keep this page or come back later: your place is safe on our side.",
    "保持本页或稍后回来都可以：你的名次保存在服务器上。",
  ],
  queue_progress: ["Progress through the queue", "排队进度"],
  updated: ["Asked again every {n} s", "每 {n} 秒更新一次"],
  give_back: ["Give my place back", "放弃名额"],
  give_back_hold: ["Give it back", "放弃这件"],
  give_back_ask: ["Give it back?", "确定放弃吗？"],
  give_back_text: [
    "It goes to the next in line at once. You can try again, from the end of the queue.",
    "名额将立刻让给下一位。你可以重新排队，但要从队尾开始。",
  ],
  give_back_yes: ["Yes, give it back", "确定放弃"],
  keep_it: ["Keep it", "我再想想"],

  // Results.
  held: ["It’s yours", "抢到了"],
  held_text: ["{n} reserved for you. Order before the time runs out.", "已为你保留 {n} 件，请在倒计时结束前下单。"],
  hold_left: ["Time left to order", "下单剩余时间"],
  out_title: ["Sold out before your turn", "没轮到你就抢光了"],
  out_text: [
    "Every unit went to people ahead of you. If one comes back, you can try again here.",
    "库存已被前面的人抢完。如有退回，可在此再试。",
  ],
  rejected_title: ["Not this time", "本次未通过"],
  rejected_text: ["Your place could not be accepted.", "你的抢购请求未被接受。"],
  expired_title: ["The time to order ran out", "下单超时"],
  expired_text: [
    "Your unit went back to the stock. You may try again while there is some left.",
    "保留的商品已退回库存。若仍有库存，可以再试。",
  ],
  released_title: ["Given back", "已放弃"],
  released_text: ["Thank you: the next in line has it. You may try again.", "名额已让给下一位。你也可以再试一次。"],
  try_again: ["Try again", "再试一次"],
  paused_title: ["Paused for a moment", "暂时暂停"],
  paused_text: [
    "The shop has stopped the sale for now. This page goes on by itself when it does.",
    "商家暂停了抢购，恢复后本页会自动继续。",
  ],
  soldout_title: ["All gone", "全部抢光"],
  soldout_text: [
    "Unpaid units come back from time to time. This page tells you when one does.",
    "未付款的商品会不时退回，一有库存本页就会提示。",
  ],
  ended_title: ["This sale is over", "抢购已结束"],
  ended_text: ["Other things may be starting soon.", "看看其他即将开始的活动吧。"],

  // Checkout.
  checkout: ["Where shall it go?", "寄到哪里？"],
  contact: ["Phone or e-mail", "手机或邮箱"],
  contact_hint: ["So that the courier can reach you", "方便快递联系你"],
  address: ["Delivery address", "收货地址"],
  note: ["Note", "备注"],
  optional: [" (optional)", "（选填）"],
  note_hint: ["Size, colour, time of delivery", "尺码、颜色、送货时间"],
  contact_short: ["A phone number or e-mail address, please.", "请填写手机号或邮箱。"],
  address_short: ["Please give the full address.", "请填写完整的收货地址。"],
  long: ["At most {n} characters.", "最多 {n} 个字符。"],
  order_now: ["Place the order", "提交订单"],
  ordering: ["Placing your order…", "正在下单…"],
  total: ["Total", "合计"],

  // Orders.
  ordered: ["Order placed", "下单成功"],
  order: ["Order", "订单"],
  order_unpaid: ["To be paid", "待付款"],
  order_paid: ["Paid", "已付款"],
  order_cancelled: ["Cancelled", "已取消"],
  order_timed_out: ["Not paid in time", "超时未付"],
  order_refund_due: ["Refund on its way", "退款处理中"],
  order_refunded: ["Refunded", "已退款"],
  text_unpaid: [
    "Pay before the time runs out, or the unit goes back to the stock.",
    "请在倒计时结束前付款，否则商品将退回库存。",
  ],
  text_paid: ["Thank you. It is yours for good.", "感谢购买，商品归你了。"],
  text_cancelled: [
    "The unit went back to the stock. You may buy again while the sale lasts.",
    "商品已退回库存，活动期间可再次购买。",
  ],
  text_timed_out: ["It was not paid in time, and the unit went back to the stock.", "未在时限内付款，商品已退回库存。"],
  text_refund_due: [
    "Your payment came when the order had ended, so the unit is not yours. You get all of it back; there is nothing you need to do.",
    "付款到账时订单已结束，商品未能保留。款项将全额退回，无需任何操作。",
  ],
  text_refunded: ["Your money was sent back.", "款项已退回。"],
  pay_left: ["Time left to pay", "付款剩余时间"],
  pay: ["Pay {sum}", "支付 {sum}"],
  paying: ["Opening the payment page…", "正在打开付款页面…"],
  pay_again: ["Try again: pay {sum}", "重新支付 {sum}"],
  pay_failed: [
    "The payment did not go through, and nothing was charged. You can try again until the time runs out.",
    "支付未成功，没有扣款。截止时间前可重新支付。",
  ],
  pay_return: [
    "Waiting for word of your payment. If you have not paid yet, press the button again.",
    "正在等待支付结果。若尚未支付，请再次点击按钮。",
  ],
  pay_late: [
    "Paid too late? As soon as the money comes, it goes back to you, and this page says so.",
    "付款晚了？款项一到账就会退回，本页会显示。",
  ],
  cancel_order: ["Cancel the order", "取消订单"],
  cancel_ask: ["Cancel this order?", "取消该订单？"],
  cancel_text: ["The unit goes back to the stock at once.", "商品会立刻退回库存。"],
  cancel_yes: ["Yes, cancel it", "确定取消"],
  cancelling: ["Cancelling…", "正在取消…"],
  created: ["Ordered", "下单时间"],
  pay_by: ["Pay by", "付款截止"],
  paid_at: ["Paid at", "付款时间"],
  unit_price: ["Unit price", "单价"],
  see_order: ["See the order", "查看订单"],

  order_failed: ["This order could not be loaded", "订单加载失败"],
  no_order: ["No such order", "没有这个订单"],
  no_order_text: ["It may belong to somebody else, or the address is mistyped.", "它可能属于别人，或地址有误。"],

  // Connection, waiting, trouble.
  offline: ["You are offline. This page goes on when you are back.", "网络已断开，恢复后本页会自动继续。"],
  lost: ["The connection is lost. Trying again.", "连接中断，正在重试。"],
  slow: ["The connection is slow. Still waiting for an answer.", "网络较慢，正在等待响应。"],
  wait: ["Trying again by itself in", "将自动重试，倒计时"],
  stop: ["Stop", "停止"],
  reference: ["Reference: {id}", "参考编号：{id}"],
  loading: ["Loading…", "加载中…"],
  retry: ["Try again", "重试"],
  lost_title: ["Page not found", "页面不存在"],
  lost_text: ["This lane leads nowhere. The sales are that way.", "这条跑道走不通，抢购在那边。"],
};

// What each problem means to a shopper. docs/problems.md lists the slugs of the API; the last two are of net.js.
const PROBLEMS = {
  "not-started": ["Not open yet: wait for the clock.", "还没开抢，请等倒计时结束。"],
  ended: ["This sale is over.", "抢购已结束。"],
  paused: ["The sale is paused for a moment.", "抢购暂停中，请稍候。"],
  "sold-out": ["Every unit has gone.", "已经抢光了。"],
  "fewer-left": ["Only {available} left: fewer than you asked for.", "仅剩 {available} 件，少于你要的数量。"],
  "queue-full": ["More people are waiting than can be served.", "排队人数已满。"],
  "challenge-failed": ["The check was not passed.", "验证未通过。"],
  blocked: [
    "You can’t take part in this sale. If that seems wrong, ask the shop.",
    "你无法参与本次抢购。如有疑问请联系商家。",
  ],
  "rate-limited": ["That was a bit fast.", "操作太快了，请稍等。"],
  "purchase-limit": ["You already have as many of these as one shopper may.", "你已达到本商品的限购数量。"],
  unauthorized: [
    "Your session could not be opened. If this shop has a sign-in, sign in first.",
    "无法建立会话。若本店需要登录，请先登录。",
  ],
  "not-found": ["It doesn’t exist, or it isn’t yours.", "不存在，或不属于你。"],
  conflict: ["That can’t be done any more: its state has changed.", "状态已变化，无法执行此操作。"],
  "hold-expired": ["The time to order ran out, and the unit went back.", "下单超时，商品已退回库存。"],
  invalid: ["Please correct the marked fields.", "请修改标出的内容。"],
  malformed: ["The request could not be read. Reload the page and try again.", "请求有误，请刷新页面后重试。"],
  "too-large": ["That is too long.", "内容过长。"],
  "unsupported-media-type": [
    "The request could not be read. Reload the page and try again.",
    "请求有误，请刷新页面后重试。",
  ],
  "method-not-allowed": ["This isn’t available here.", "此处不支持该操作。"],
  "idempotency-key-reused": [
    "This was sent before with other content. Reload the page and try again.",
    "此请求曾以不同内容提交过，请刷新页面后重试。",
  ],
  "version-mismatch": ["It was changed in between. Reload the page.", "内容已被更新，请刷新页面。"],
  "bad-signature": ["The signature is wrong.", "签名错误。"],
  "stale-signature": ["The signature is too old.", "签名已过期。"],
  unavailable: ["The shop is short of breath. Nothing was lost.", "系统繁忙，你的进度没有丢失。"],
  offline: ["No connection.", "没有网络连接。"],
  timeout: ["No answer in time.", "响应超时。"],
};

/** Adds the words that only one page needs. */
export const define = (words) => Object.assign(WORDS, words);

const CODES = ["en", "zh-CN"];
let language = CODES.indexOf(kept("language"));
if (language < 0) language = /^zh\b/i.test(navigator.language) ? 1 : 0;

/** The BCP 47 tag of the chosen language. */
export const locale = () => CODES[language];

/** The words of `key`, with {names} filled in from `values`. */
export const t = (key, values) => fill(WORDS[key]?.[language] ?? key, values);

const fill = (text, values) => (values ? text?.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole) : text);

/** What a refusal means, for shoppers. The server's own words stand in where the page has none. */
export const explain = (problem) =>
  fill(PROBLEMS[problem.available ? "fewer-left" : problem.slug]?.[language], problem) ??
  [problem.title, problem.detail].filter(Boolean).join(". ");

const HAN = /\p{Script=Han}/u;

/** A catalogue text in two languages: "English / 中文" on one line, or paragraphs of each. See demo/README.md. */
export function half(text) {
  const parts = (text ?? "").includes("\n") ? text.split(/\n\s*\n/) : (text ?? "").split(" / ");
  const mine = parts.filter((part) => HAN.test(part) === (language === 1));
  if (text?.includes("\n")) return (mine.length ? mine : parts).join("\n\n");
  return parts.length === 2 && mine.length === 1 ? mine[0] : (text ?? "");
}

/** The language that `text` is in, for its `lang` attribute. */
export const tongue = (text) => (HAN.test(text) ? "zh-CN" : "en");

/** Makes `element` say something in the chosen language now, and again whenever the choice changes. */
export function say(element, speak) {
  element.speaks ??= [];
  element.speaks.push(speak);
  element.dataset.says = "";
  speak(element);
}

function speakAll() {
  document.documentElement.lang = locale();
  for (const element of document.querySelectorAll("[data-says]")) {
    element.speaks?.forEach((speak) => {
      speak(element);
    });
  }
}

/** Chooses the other language, and remembers it. */
export function switchLanguage() {
  language = 1 - language;
  keep("language", locale());
  speakAll();
  dispatchEvent(new Event("language"));
}

document.documentElement.lang = locale();
