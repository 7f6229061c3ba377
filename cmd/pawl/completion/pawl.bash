# bash completion for pawl; made by "pawl completion bash".
_pawl() {
	local IFS=$'\n' word=$2 words
	# bash splits words at "=". The next word is a value, for which bash offers files.
	[[ $word == = || $3 == = ]] && return
	words=("${COMP_WORDS[@]:1:COMP_CWORD-1}" "$word")
	COMPREPLY=($("$1" complete -- "${words[@]}" 2>/dev/null))
}
complete -o default -F _pawl pawl
